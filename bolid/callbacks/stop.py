"""Ends a fit that is asked to terminate."""

from __future__ import annotations

import signal
import threading
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

STATUS = 128 + signal.SIGTERM  # what a shell reports of a process that the signal ended


class StopTogether(Callback):
    """On SIGTERM to any rank, all ranks end the fit before the same step; the process's exit status is 143.

    Lightning's own handler talks to the other ranks from inside the signal, whatever they are waiting for at that
    moment (gradients, a metric, a sample grid), and then both sides may wait for ever. Here the signal is only noted.
    """

    def __init__(self) -> None:
        self.asked = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Not earlier: Lightning sets its own after `on_fit_start`. When the fit ends it restores the one before."""
        self.asked = False
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            signal.signal(signal.SIGTERM, self._note)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Between two steps, so that whatever the last one had to write is written."""
        if trainer.strategy.reduce_boolean_decision(self.asked, all=False):
            # A launcher kills the first process as soon as another one ends with an error, finished or not.
            raise SIGTERMException(STATUS if trainer.is_global_zero else 0)

    def _note(self, *signal_and_frame: Any) -> None:
        self.asked = True
