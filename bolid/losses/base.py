"""Base classes of the losses besides L_diff: a weight schedule, and a mask of the samples that they can score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch


class Loss(nn.Module):
    """A term of L with a weight that is 0 until `start` and then rises linearly over `ramp` steps.

    The configuration gives the term its name in logs.

    Args:
        weight: Final weight.
        start: Step at which the weight starts to rise, once L_diff has trained the conditions.
        ramp: Number of steps over which it rises.

    Raises:
        BolidError: If the weight is not positive, or a number of steps is negative.

    Attributes:
        needs: Description of the samples that it can score, for messages.
    """

    needs: ClassVar[str] = "nothing"

    def __init__(self, weight: float, start: int = 0, ramp: int = 0):
        super().__init__()
        if not (isfinite(weight) and weight > 0):
            raise BolidError(f"{type(self).__name__}: weight={weight} must be above 0; null turns the loss off")
        if min(start, ramp) < 0:
            raise BolidError(f"{type(self).__name__}: start={start} and ramp={ramp} must be 0 or more steps")
        self.weight, self.start, self.ramp = weight, start, ramp

    def weight_at(self, step: float) -> float:
        """The weight at a step: 0 before `start`, then a linear rise over `ramp` steps; at infinity its end."""
        if step < self.start:
            return 0.0
        return self.weight * min(1.0, (step - self.start + 1) / max(1, self.ramp))

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Which samples it can score: (B,) bool, by the batch's typed fields; captions are never parsed."""
        return torch.ones(len(batch), dtype=torch.bool, device=batch.pictures.device)


class ImageLoss(Loss, ABC):
    """A term that scores x_gen, the image that a training step would generate. See `Loss` for the arguments.

    Attributes:
        needs_pose: Whether the image must share the target photo's pose.
    """

    needs_pose: ClassVar[bool] = False

    @abstractmethod
    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """Loss of each image.

        Args:
            images: (n, 3, H, W) in 0..1, with gradients.
            batch: Their n samples, all of which `can_score`.
            groups: (n,) ids; images of one group start from the same noise.

        Returns:
            (n,).
        """
