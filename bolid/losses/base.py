"""What the losses beside L_diff have in common: a weight that grows, and samples that they can score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import isfinite
from typing import ClassVar

import torch
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch


class Loss(nn.Module):
    """A term of L whose weight begins at 0 and grows once the conditions have learned what L_diff teaches.

    Its name, in logs and configurations, is the one that the configuration gives it.

    Args:
        weight: Once grown.
        start: Step at which it begins to grow.
        ramp: Steps over which it grows.

    Raises:
        BolidError: If the weight is not above 0, or steps are below 0.

    Attributes:
        needs: What a sample must have to be scored, for messages.
    """

    needs: ClassVar[str] = "nothing"

    def __init__(self, weight: float, start: int = 0, ramp: int = 0):
        super().__init__()
        if not (isfinite(weight) and weight > 0):
            raise BolidError(f"{type(self).__name__}: weight={weight} must be above 0; null in its place leaves it out")
        if min(start, ramp) < 0:
            raise BolidError(f"{type(self).__name__}: start={start} and ramp={ramp} must be 0 or more steps")
        self.weight, self.start, self.ramp = weight, start, ramp

    def weight_at(self, step: float) -> float:
        """The weight in a step: 0 before `start`, then growing evenly over `ramp` steps; at infinity it has grown."""
        if step < self.start:
            return 0.0
        return self.weight * min(1.0, (step - self.start + 1) / max(1, self.ramp))

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Which samples it can score: (B,) bool. Ask the batch's typed fields, never a caption's words."""
        return torch.ones(len(batch), dtype=torch.bool, device=batch.pictures.device)


class ImageLoss(Loss, ABC):
    """A term that looks at x_gen, the image that a training step would generate. See `Loss` for the arguments.

    Attributes:
        needs_pose: Whether the image must share the target photo's pose.
    """

    needs_pose: ClassVar[bool] = False

    @abstractmethod
    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """Loss of each image.

        Args:
            images: (n, 3, H, W) in 0..1, with gradients.
            batch: The n samples that they are of, all of which it can score.
            groups: (n,) ids; images of one group are from the same noise.

        Returns:
            (n,).
        """
