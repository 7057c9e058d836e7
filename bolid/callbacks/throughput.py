"""Logs the speed of a fit, and the time that it waits for data."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sized
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Logs `throughput/samples_per_s` (all ranks together) and `throughput/data_wait`, the share of time spent waiting.

    Waiting is the time from the end of a step to the next batch. A step on a GPU ends when its work is queued, and its
    time shows in a later step; the average over the window compensates.

    Args:
        window: Number of steps to average over.
    """

    def __init__(self, window: int = 20) -> None:
        self.steps: deque[tuple[float, float, int]] = deque(maxlen=window)  # seconds waited, seconds worked, samples
        self.ended: float | None = None
        self.started = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Excludes the start of the workers from waiting."""
        self.ended = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Excludes validation from waiting."""
        self.ended = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Notes the end of waiting."""
        self.started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes the end of a step; the first after a pause has no known waiting time and is not counted."""
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
    """Number of samples in a batch: a `TrainingBatch`, a tensor, or a collection that holds one of these first."""
    if isinstance(batch, dict):
        batch = list(batch.values())
    if isinstance(batch, tuple | list):
        return batch_size(batch[0]) if len(batch) else 0
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    return len(batch) if isinstance(batch, Sized) else 1
