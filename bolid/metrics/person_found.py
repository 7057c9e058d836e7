"""Is anybody in the picture?"""

from __future__ import annotations

from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision
from bolid.vision.pose import PoseNetwork


class PersonFound(ImageMetric):
    """Share of pictures in which the pose network finds a person; 0..1.

    Args:
        pose: Finds people.
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
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1."""
        self.found += (self.pose.estimate(pictures).score > 0).sum()
        self.pictures += len(pictures)

    def compute(self) -> dict[str, Tensor]:
        """`person_found`; not a number without pictures."""
        return {"person_found": (self.found / self.pictures).float()}
