"""Terms of the training objectives, one per file."""

from bolid.losses.alignment import AlignmentLoss
from bolid.losses.base import ImageLoss, Loss
from bolid.losses.bones import BoneLoss
from bolid.losses.clip import ClipLoss
from bolid.losses.keypoints import KeypointLoss
from bolid.losses.pixel import PixelLoss
from bolid.losses.prompt import PromptLoss
from bolid.losses.shape import PairedShapeLoss, ShapeLoss
from bolid.losses.style import ReferenceStyleLoss
from bolid.losses.x_gen import FewStep, OneStep

__all__ = [
    "AlignmentLoss",
    "BoneLoss",
    "ClipLoss",
    "FewStep",
    "ImageLoss",
    "KeypointLoss",
    "Loss",
    "OneStep",
    "PairedShapeLoss",
    "PixelLoss",
    "PromptLoss",
    "ReferenceStyleLoss",
    "ShapeLoss",
]
