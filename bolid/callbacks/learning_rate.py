"""The learning rate as a curve."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.utilities import rank_zero_info


class LearningRate(LearningRateMonitor):
    """As Lightning's `LearningRateMonitor`, which ends a run without a logger; this one leaves the run instead."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before any hook that would want a logger."""
        if not trainer.loggers:
            trainer.callbacks = [callback for callback in trainer.callbacks if callback is not self]
            rank_zero_info("LearningRate: left out, since there is no logger (trainer.logger)")
