"""What holds in every run of a task, whoever made its trainer."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar, TQDMProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bolid.tasks.checkpoints import AtomicCheckpoints
from bolid.tasks.lock import RunLock
from bolid.tasks.precision import quick_attention
from bolid.tasks.stop import StopTogether


def prepare_run(trainer: Trainer) -> None:
    """Called by Lightning through the task before data are prepared, in every fit, validation, test and prediction."""
    quick_attention()
    callbacks: list[Any] = list(trainer.callbacks)
    if trainer.fast_dev_run:  # a ModelCheckpoint with save_last would write one at the end
        callbacks = [c for c in callbacks if not isinstance(c, Checkpoint)]
    if trainer.max_epochs == -1:  # Lightning's Rich bar would count to epoch -2
        bar = TQDMProgressBar(refresh_rate=trainer.log_every_n_steps)
        callbacks = [bar if type(c) is RichProgressBar else c for c in callbacks]
    if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
        trainer.strategy.checkpoint_io = AtomicCheckpoints()
    if not any(isinstance(c, RunLock) for c in callbacks):
        callbacks = [RunLock(), *callbacks, StopTogether()]  # before and after anything else is written
    trainer.callbacks = callbacks
