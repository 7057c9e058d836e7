"""How fast a fit is, and whether it waits for its data."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sized
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs `throughput/samples_per_s` (all ranks together) and `throughput/data_wait`, the share of time spent waiting.

    Waiting is what passes between the end of a step and the next batch. Steps on a GPU end when their work is queued:
    its time then shows in a later step, which evens out over the window.

    Args:
        window: Steps that a value is averaged over.
    """

    def __init__(self, window: int = 20) -> None:
        self.steps: deque[tuple[float, float, int]] = deque(maxlen=window)  # seconds waited, seconds worked, samples
        self.ended: float | None = None
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starting the workers is no waiting."""
        self.ended = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Neither is validating."""
        self.ended = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The batch is here."""
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """The step is done; the first after a pause has no known waiting and is not counted."""
        now, before = time.perf_counter(), self.ended
        self.ended = now
        if before is None:
            return
        self.steps.append((self.started - before, now - self.started, batch_size(batch)))
        waited, worked, samples = (sum(column) for column in zip(*self.steps, strict=True))
        total = waited + worked
        pl_module.log("throughput/samples_per_s", trainer.world_size * samples / total, batch_size=1)
        pl_module.log("throughput/data_wait", waited / total, batch_size=1)


def batch_size(batch: Any) -> int:
    """Samples in a batch: a `TrainingBatch`, a tensor, or a tuple, list or dictionary that holds one of these first."""
    if isinstance(batch, dict):
        batch = list(batch.values())
    if isinstance(batch, tuple | list):
        return batch_size(batch[0]) if len(batch) else 0
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    return len(batch) if isinstance(batch, Sized) else 1
