"""A machine that dies in the middle of a fit."""

import os
import signal

from lightning.pytorch import Callback


class KillAt(Callback):
    """Kills the process, as a power cut would, after `step` optimiser steps."""

    def __init__(self, step: int):
        self.step = step

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
