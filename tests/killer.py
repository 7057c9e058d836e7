"""A machine that dies in the middle of a fit, or a user who ends it."""

import os
import signal

from lightning.pytorch import Callback


class KillAt(Callback):
    """Sends the process a signal, by default as a power cut would, after `step` optimiser steps."""

    def __init__(self, step: int, number: int = signal.SIGKILL):
        self.step, self.number = step, number

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)
