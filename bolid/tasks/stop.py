"""Ends a fit on SIGTERM or Ctrl-C after the current step, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException


class StopTogether(Callback):
    """On SIGTERM or Ctrl-C to any rank, all ranks end the fit after the same step, with a checkpoint.

    The exit status is 128 + the signal's number, as a shell would report it. A second signal ends the process at once.
    Lightning's own handler communicates with the other ranks inside the signal handler, whatever collective they are in
    (gradients, a metric, a sample grid), which may deadlock. Here the handler only sets a flag.
    """

    def __init__(self) -> None:
        self.noted = 0  # number of the signal
        self.training = False
        self.between = False  # whether the last batch completed an optimiser step
        self.step = self.process = 0

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sets the handler before workers start: they inherit it, and Ctrl-C in a terminal reaches them, too."""
        self.noted, self.training, self.process = 0, False, os.getpid()
        self._handle()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sets the handler again: Lightning sets its own after `on_fit_start`, and restores the former at the end."""
        self.noted, self.training, self.process = 0, True, os.getpid()
        self.between, self.step = True, trainer.global_step
        self._handle()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Notes whether gradients are accumulating, which no checkpoint holds."""
        self.between = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Stops after a step, when all other callbacks have run."""
        self.between, self.step = trainer.global_step > self.step, trainer.global_step
        self._stop(trainer)

    def on_validation_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Stops within a validation on a single rank only: ranks may have different numbers of validation batches."""
        if trainer.world_size == 1:
            self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops after a validation, which takes longer than a step if it generates samples."""
        self._stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the last checkpoint, which Lightning omits if there were earlier ones."""
        self.training = False
        keeper = find_keeper(trainer)
        if keeper is not None and keeper.save_last and keeper._last_global_step_saved != trainer.global_step:
            save(trainer, keeper)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Restores the former handlers."""
        self.training = False

    def _handle(self) -> None:
        if threading.current_thread() is threading.main_thread():  # only the main thread may set handlers
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self.process:
            return  # a worker: its parent decides
        if self.training and not self.noted:
            self.noted = number
            os.write(2, b"\nends after this step, with a checkpoint; once more: at once, without\n")  # signal-safe
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SIGTERMException(128 + number)

    def _stop(self, trainer: Trainer) -> None:
        """Ends the fit if any rank noted a signal; a collective call, which every rank makes at the same point."""
        if not self.training or not self.between:
            return
        noted = trainer.strategy.reduce(torch.tensor(self.noted, device=trainer.strategy.root_device), reduce_op="max")
        if noted:
            keeper = find_keeper(trainer)
            why = f"{signal.Signals(int(noted)).name}: ended after step {trainer.global_step}"
            where = "no ModelCheckpoint keeps it" if keeper is None else f"--ckpt_path {save(trainer, keeper)} goes on"
            rank_zero_info(f"{why}; {where}")
            # A launcher kills the first process as soon as another one ends with an error, finished or not.
            raise SIGTERMException(128 + int(noted) if trainer.is_global_zero else 0)


def find_keeper(trainer: Trainer) -> ModelCheckpoint | None:
    """The `ModelCheckpoint` that keeps a fit's last checkpoint, or None."""
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)), None)


def save(trainer: Trainer, keeper: ModelCheckpoint) -> str:
    """Writes a last checkpoint under the name that `keeper` would choose, and returns the name."""
    path, version = keeper.format_checkpoint_name({}, keeper.CHECKPOINT_NAME_LAST), keeper.STARTING_VERSION
    while path != keeper.last_model_path and keeper.file_exists(path, trainer):  # another fit's
        path = keeper.format_checkpoint_name({}, keeper.CHECKPOINT_NAME_LAST, ver=version)
        version += 1
    keeper.last_model_path = path
    trainer.save_checkpoint(path)
    return path
