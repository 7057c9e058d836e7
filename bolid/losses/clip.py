"""L_CLIP: CLIP similarity of x_gen and the caption."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.vision.clip import ClipModel


class ClipLoss(ImageLoss):
    """L_CLIP = 1 − cos(CLIP(x_gen), CLIP(τ)), τ the caption that the UNet receives.

    Args:
        clip: Any open_clip model; use another one than the metric's.
        weight: See `Loss`, as the rest.
    """

    needs = "captions"

    def __init__(self, clip: ClipModel, weight: float = 0.1, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)
        self.clip = clip

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Samples with a caption."""
        return torch.tensor([bool(caption.strip()) for caption in batch.captions], device=batch.pictures.device)

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        return 1 - (self.clip.encode_images(images) * self.clip.encode_texts(batch.captions)).sum(1)
