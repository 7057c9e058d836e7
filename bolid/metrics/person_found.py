"""Share of images with a detected person."""

from __future__ import annotations

from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision
from bolid.vision.pose import PoseNetwork


class PersonFound(ImageMetric):
    """Share of images in which the pose network finds a person; 0..1.

    Args:
        pose: Pose network that detects people.
    """

    describes = {"person_found": Description("share of images in which a person was found, 0 to 1", "higher")}
    higher_is_better = True
    found: Tensor
    pictures: Tensor

    def __init__(self, pose: PoseNetwork) -> None:
        super().__init__()
        self.pose = pose
        self.add_sum("found")
        self.add_sum("pictures")

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1."""
        self.found += (self.pose.estimate(images).score > 0).sum()
        self.pictures += len(images)

    def compute(self) -> dict[str, Tensor]:
        """`person_found`; NaN without images."""
        return {"person_found": (self.found / self.pictures).float()}
