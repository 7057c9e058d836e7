"""Weights of loss terms that change over a fit."""

from __future__ import annotations

from torch import nn


class ScheduledTerm(nn.Module):
    """A term of L whose weight begins at 0 and grows once the branches have learned what L_diff teaches.

    Args:
        weight: Once grown.
        start: Step at which it begins to grow.
        ramp: Steps over which it grows.
    """

    name: str

    def __init__(self, weight: float, start: int = 0, ramp: int = 0):
        super().__init__()
        self.weight, self.start, self.ramp = weight, start, ramp

    def weight_at(self, step: float) -> float:
        """The weight in a step: 0 before `start`, then growing evenly over `ramp` steps; at infinity it has grown."""
        if step < self.start:
            return 0.0
        return self.weight * min(1.0, (step - self.start + 1) / max(1, self.ramp))
