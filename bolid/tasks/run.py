"""Prepares every run of a task, from the command line or from Python."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Checkpoint, RichProgressBar, TQDMProgressBar
from lightning.pytorch.plugins import Precision
from lightning.pytorch.plugins.io import TorchCheckpointIO

from bolid.tasks.checkpoints import AtomicCheckpoints
from bolid.tasks.lock import RunLock
from bolid.tasks.precision import check_precision, quick_attention, quick_precision
from bolid.tasks.stop import StopTogether


def prepare_run(trainer: Any, frozen: str) -> None:
    """Sets precision and callbacks; Lightning calls it through the task before data are prepared, in every command.

    Args:
        trainer: Trainer of the run.
        frozen: Dtype of the frozen backbone's weights.

    Raises:
        BolidError: If the precision is unsuitable.
    """
    on_cpu = isinstance(trainer.accelerator, CPUAccelerator)
    asked = check_precision(trainer.precision, on_cpu, frozen, trainer.state.fn == "fit")
    if quick_precision(asked, on_cpu) != asked:
        trainer.strategy.precision_plugin = Precision()
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
