"""Logs the learning rate."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_info


class LearningRate(LearningRateMonitor):
    """Lightning's `LearningRateMonitor`, but a run without a logger drops the callback instead of failing."""

    def setup(self, trainer: Any, pl_module: LightningModule, stage: str) -> None:
        """Removes itself without a logger, before Lightning's hooks need one."""
        if not trainer.loggers:
            trainer.callbacks = [callback for callback in trainer.callbacks if callback is not self]
            rank_zero_info("LearningRate: left out, since there is no logger (trainer.logger)")
