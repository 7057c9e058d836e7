"""What the metrics on generated pictures have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from bolid.core.schema import TrainingBatch
from bolid.metrics.interval import Interval, PersonScores


@dataclass(frozen=True)
class Description:
    """What a report says of a number.

    Attributes:
        text: What it is, with its range.
        better: Which way is better; empty where neither is.
        unit: Of the number; empty for none.
        smallest: Images below which it must not be compared with published values; 0 where any number will do.
    """

    text: str
    better: Literal["higher", "lower", ""] = ""
    unit: str = ""
    smallest: int = 0

    def __str__(self) -> str:
        way = f"{self.better} is better" if self.better else ""
        return "; ".join(part for part in (f"{self.text}, {self.unit}" if self.unit else self.text, way) if part)


class ImageMetric(Metric, ABC):
    """Scores images that were generated for the samples of batches.

    Attributes:
        describes: First part of a number's name, up to the slash -> what a report says of it.

    States are sums (or lists) that reduce over ranks, none is saved in checkpoints, and networks are `Frozen`. Sums are
    kept as `add_sum` makes them, in double precision.
    """

    describes: Mapping[str, Description] = MappingProxyType({})
    full_state_update = False
    is_differentiable = False

    def __init__(self) -> None:
        super().__init__()
        self._no_rows: dict[str, Tensor] = {}

    def add_sum(self, name: str, *shape: int) -> None:
        """Registers a float64 state of this shape that adds up over batches and ranks."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add_rows(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> None:
        """Registers a list to which updates append tensors (n, *shape); over ranks it is gathered."""
        self.add_state(name, [], dist_reduce_fx="cat")
        # A rank that gets no pictures must still have rows of the right shape to gather.
        self._no_rows[name] = torch.zeros(0, *shape, dtype=dtype)
        getattr(self, name).append(self._no_rows[name])

    def reset(self) -> None:
        """Forgets all pictures."""
        super().reset()
        for name, nothing in self._no_rows.items():
            getattr(self, name).append(nothing.to(self.device))

    def _apply(self, fn, exclude_state=()):
        # A module cast to half precision would cast the sums too, and thousands of pictures would stop adding up.
        moved = super()._apply(fn, exclude_state)
        for name, default in self._defaults.items():
            if isinstance(default, Tensor):
                self._defaults[name] = default.double()
                setattr(self, name, getattr(self, name).double())
        return moved

    @abstractmethod
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds pictures.

        Args:
            pictures: (B, 3, H, W) in 0..1, one for each sample of the batch.
            batch: What they were drawn for: its photos, prompts and references.
        """

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Metric name -> scalar; the name tells the network that gave the features."""

    def person_scores(self) -> dict[str, PersonScores]:
        """Metric name -> the numbers that its value is the mean of, or its root, on all ranks; every rank must ask.

        Only of metrics that are such a mean: their reports have intervals.
        """
        return {}

    def other_intervals(self) -> dict[str, Interval]:
        """Metric name -> interval of metrics that are no such mean, where they have one; every rank must ask."""
        return {}


def full_precision(update: Callable[..., None]) -> Callable[..., None]:
    """Runs an `update` in float32 whatever the trainer's precision is, so that scores do not depend on it."""

    @wraps(update)
    def wrapped(self: ImageMetric, pictures: Tensor, batch: TrainingBatch) -> None:
        with torch.autocast(pictures.device.type, enabled=False):
            update(self, pictures.float(), batch)

    return wrapped


def real_pictures(batch: TrainingBatch) -> Tensor:
    """The batch's photos in 0..1, the range of generated pictures."""
    return (batch.pictures + 1) / 2


def numbered(names: Sequence[str]) -> Tensor:
    """Names as numbers, which ranks can gather: (N,) int64, equal for equal names only (64 bits of SHA-256)."""
    digests = (sha256(name.encode()).digest()[:8] for name in names)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=torch.int64)
