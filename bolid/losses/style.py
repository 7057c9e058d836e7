"""CLIP similarity of x_gen and the references."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.vision.clip import ClipModel


class ReferenceStyleLoss(ImageLoss):
    """1 − cos(CLIP(x_gen), CLIP(reference)), the mean over the references; it also compares clothes.

    Args:
        clip: Any open_clip model.
        weight: See `Loss`, as the rest.
    """

    needs = "references"

    def __init__(self, clip: ClipModel, weight: float = 0.05, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)
        self.clip = clip

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Samples with at least one reference."""
        return batch.references.mask.any(1)

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        with torch.no_grad():
            photos = batch.references.pictures.flatten(0, 1) * 0.5 + 0.5
            references = self.clip.encode_images(photos).unflatten(0, batch.references.mask.shape)  # (n, M, D)
        cosine = (self.clip.encode_images(images)[:, None] * references).sum(-1)
        there = batch.references.mask.float()
        return ((1 - cosine) * there).sum(1) / there.sum(1).clamp_min(1)
