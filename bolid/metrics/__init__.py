"""What scores pictures, one idea per file."""

from bolid.metrics.adherence import PromptAdherence
from bolid.metrics.base import PictureMetric
from bolid.metrics.body import BodySimilarity
from bolid.metrics.body_shape import BodyShape
from bolid.metrics.clip import ClipScore
from bolid.metrics.clothes_leak import ClothesLeak
from bolid.metrics.face_similarity import FaceSimilarity
from bolid.metrics.fid import FID
from bolid.metrics.graded_words import GradedWords
from bolid.metrics.inception_score import InceptionScore
from bolid.metrics.kid import KID
from bolid.metrics.person_found import PersonFound
from bolid.metrics.pose_error import PoseError

__all__ = [
    "FID",
    "KID",
    "BodyShape",
    "BodySimilarity",
    "ClipScore",
    "ClothesLeak",
    "FaceSimilarity",
    "GradedWords",
    "InceptionScore",
    "PersonFound",
    "PictureMetric",
    "PoseError",
    "PromptAdherence",
]
