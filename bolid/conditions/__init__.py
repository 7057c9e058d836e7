"""What a picture can be conditioned on, each with K and V of its own in the UNet's cross-attention."""

from bolid.conditions.base import Condition
from bolid.conditions.body import BodyCondition
from bolid.conditions.face import FaceCondition
from bolid.conditions.image import ImageCondition
from bolid.conditions.pose import PoseCondition

__all__ = ["BodyCondition", "Condition", "FaceCondition", "ImageCondition", "PoseCondition"]
