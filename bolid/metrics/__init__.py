"""Metrics of generated images and of body encoders, one per file."""

from bolid.metrics.base import ImageMetric
from bolid.metrics.body import BodySimilarity
from bolid.metrics.clip import ClipScore
from bolid.metrics.face_similarity import FaceSimilarity
from bolid.metrics.fid import FID
from bolid.metrics.inception_score import InceptionScore
from bolid.metrics.kid import KID
from bolid.metrics.person_found import PersonFound
from bolid.metrics.pose_error import PoseError

__all__ = [
    "FID",
    "KID",
    "BodySimilarity",
    "ClipScore",
    "FaceSimilarity",
    "ImageMetric",
    "InceptionScore",
    "PersonFound",
    "PoseError",
]
