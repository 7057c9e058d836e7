"""Conditions of an image, each with its own K and V in the UNet's cross-attention."""

from bolid.conditions.base import Condition
from bolid.conditions.body import BodyCondition
from bolid.conditions.face import FaceCondition
from bolid.conditions.image import ImageCondition
from bolid.conditions.pose import PoseCondition

__all__ = ["BodyCondition", "Condition", "FaceCondition", "ImageCondition", "PoseCondition"]
