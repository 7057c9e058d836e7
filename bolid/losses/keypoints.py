"""L_id on keypoints, for images that share the photo's pose."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.models.gaussian import person_height
from bolid.vision.pose import PoseNetwork

POINTS = {"body12": tuple(range(5, 17)), "coco17": tuple(range(17))}
FAR = 1.0  # cap of the squared distance in heights: an image without a person must not dominate


class KeypointLoss(ImageLoss):
    """L_id = Σ_k ‖p_gen,k − p_k‖² / h² over the keypoints visible in the photo, h the person's height in it.

    It is a mean over keypoints, so that photos with few visible ones count as much.

    Args:
        pose: Differentiable pose network; use another one than the metric's.
        points: `body12` (shoulders to ankles) or all of `coco17`: both are in use in papers.
        weight: See `Loss`, as the rest.
    """

    needs_pose = True
    needs = "photos in which keypoints are visible"

    def __init__(
        self,
        pose: PoseNetwork,
        points: Literal["body12", "coco17"] = "body12",
        weight: float = 0.1,
        start: int = 0,
        ramp: int = 0,
    ):
        super().__init__(weight, start, ramp)
        self.pose, self.points = pose, POINTS[points]

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Photos with at least one visible keypoint."""
        return (batch.keypoints[:, self.points, 2] > 0).any(1)

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        found = self.pose(images).keypoints[:, self.points, :2]  # (n, K, 2)
        truth, visible = batch.keypoints[:, self.points, :2], (batch.keypoints[:, self.points, 2] > 0).float()
        distances = (found - truth).square().sum(-1) / person_height(batch.keypoints)[:, None].square()  # (n, K)
        return (distances.clamp_max(FAR) * visible).sum(1) / visible.sum(1).clamp_min(1)
