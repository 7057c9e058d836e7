"""A learning rate that rises, stays and falls."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bolid.core.errors import BolidError


class TrapezoidLR(LRScheduler):
    """Rises over the first steps, stays, and falls evenly to zero at the end of the fit.

    While it stays nothing depends on the fit's length, which can still be changed when a fit is resumed: a checkpoint
    holds the step and not the shape.

    Args:
        optimizer: Optimiser whose learning rates are scaled.
        total_steps: Length of the fit; the task fills it in.
        warmup: Steps over which it rises.
        hold: Share of the steps after which it falls.

    Raises:
        BolidError: If the fit's steps are not known.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int | None = None, warmup: int = 50, hold: float = 0.5):
        if total_steps is None:
            raise BolidError("TrapezoidLR needs total_steps, the steps of the fit")
        self.shape = {"total_steps": total_steps, "warmup": warmup, "hold": hold}
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        """The share of the rate in a step, 0..1."""
        rising = (step + 1) / max(1, self.shape["warmup"])
        falling = (1 - step / self.shape["total_steps"]) / (1 - self.shape["hold"])
        return max(0.0, min(1.0, rising, falling))

    def get_lr(self) -> list[float]:
        """Each group's rate in this step."""
        return [float(rate) * self.factor(self.last_epoch) for rate in self.base_lrs]

    def state_dict(self) -> dict:
        """The state of the scheduler."""
        return {name: value for name, value in super().state_dict().items() if name != "shape"}
