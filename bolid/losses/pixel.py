"""Mean squared error of pixels, a baseline."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss


class PixelLoss(ImageLoss):
    """‖x_gen − x‖², the mean over pixels, x the target photo.

    Args:
        weight: See `Loss`, as the rest.
    """

    needs_pose = True

    def __init__(self, weight: float = 0.1, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        return F.mse_loss(images, batch.pictures * 0.5 + 0.5, reduction="none").mean((1, 2, 3))
