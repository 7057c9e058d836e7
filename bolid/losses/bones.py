"""L_id on the proportions of real people by their 3D bone lengths, for images in any pose."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.vision.bones import bone_lengths, bone_ratios, bones_seen
from bolid.vision.pose_landmarks import COCO, PoseLandmarks, PoseReading

FEWEST = 4  # of seven bones: with fewer, little is left after the scale is removed
SPREAD = 0.07  # unit of the loss: standard deviation of a log ratio between readings of one person


class BoneLoss(ImageLoss):
    """Smooth L1 distance between the bone ratios of x_gen and of the photo, the mean over bones.

    The ratios are `bone_ratios` of BlazePose's world landmarks over the bones visible in both. Images in which the
    network finds no person are scaled down by its score, which gets no gradient.

    Args:
        landmarks: Landmark network for both; use another one than the metric's.
        weight: See `Loss`, as the rest.
    """

    needs = f"photos in which at least {FEWEST} of shoulders, hips, trunk, arms and legs are visible"

    def __init__(self, landmarks: PoseLandmarks, weight: float = 0.1, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)
        self.landmarks = landmarks

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Photos with enough visible keypoints."""
        return bones_seen(batch.keypoints, least=1e-6).sum(1) >= FEWEST

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        with torch.no_grad():
            truth = self.landmarks(batch.pictures * 0.5 + 0.5)
        made = self.landmarks(images)
        seen = _seen(truth) & _seen(made)  # (n, 7)
        residual = bone_ratios(bone_lengths(made.world), seen) - bone_ratios(bone_lengths(truth.world), seen)
        distance = F.smooth_l1_loss(residual / SPREAD, torch.zeros_like(residual), reduction="none").sum(1)
        return distance / seen.sum(1).clamp_min(1) * made.score.detach()


def _seen(reading: PoseReading) -> Tensor:
    """Whether each bone is visible: (n, 7) bool."""
    return bones_seen(reading.points[:, list(COCO)].detach())
