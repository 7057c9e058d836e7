"""Base class of metrics of generated images."""

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
    """Description of a metric in a report.

    Attributes:
        text: Definition and range.
        better: "higher" or "lower"; empty if neither is better.
        unit: Unit; empty for none.
        smallest: Minimum number of images for a comparison with published values; 0 for any.
        needs: What a sample must have to count; empty if every sample counts.
    """

    text: str
    better: Literal["higher", "lower", ""] = ""
    unit: str = ""
    smallest: int = 0
    needs: str = ""

    def __str__(self) -> str:
        way = f"{self.better} is better" if self.better else ""
        return "; ".join(part for part in (f"{self.text}, {self.unit}" if self.unit else self.text, way) if part)


class ImageMetric(Metric, ABC):
    """Scores images that were generated for the samples of batches.

    Attributes:
        describes: Metric name up to the slash -> its description.

    States are sums or lists that reduce over ranks; none is saved in checkpoints. Networks are `Frozen`. Sums stay in
    double precision, see `add_sum`.
    """

    describes: Mapping[str, Description] = MappingProxyType({})
    full_state_update = False
    is_differentiable = False

    def __init__(self) -> None:
        super().__init__()
        self._no_rows: dict[str, Tensor] = {}

    def add_sum(self, name: str, *shape: int) -> None:
        """Registers a float64 state of this shape, summed over batches and ranks."""
        self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def add_rows(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> None:
        """Registers a list of tensors (n, *shape), gathered over ranks."""
        self.add_state(name, [], dist_reduce_fx="cat")
        # A rank without images still needs rows of the right shape to gather.
        self._no_rows[name] = torch.zeros(0, *shape, dtype=dtype)
        getattr(self, name).append(self._no_rows[name])

    def reset(self) -> None:
        """Resets the states."""
        super().reset()
        for name, nothing in self._no_rows.items():
            getattr(self, name).append(nothing.to(self.device))

    def _apply(self, fn, exclude_state=()):
        # Casting a module to half precision must not cast the sums, which would saturate after some thousand images.
        moved = super()._apply(fn, exclude_state)
        for name, default in self._defaults.items():
            if isinstance(default, Tensor):
                self._defaults[name] = default.double()
                setattr(self, name, getattr(self, name).double())
        return moved

    @abstractmethod
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds generated images.

        Args:
            images: (B, 3, H, W) in 0..1, one per sample of the batch.
            batch: The samples that they were generated for, with photos, prompts and references.
        """

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Metric name -> scalar; the name includes the network of the features."""

    def person_scores(self) -> dict[str, PersonScores]:
        """Metric name -> the scores that its value is the mean of (or its root), over all ranks; collective.

        Only for metrics that are such means, which get confidence intervals.
        """
        return {}

    def other_intervals(self) -> dict[str, Interval]:
        """Metric name -> interval of metrics that are not such means, if they have one; collective."""
        return {}


def full_precision(update: Callable[..., None]) -> Callable[..., None]:
    """Decorator that runs `update` in float32, so that scores do not depend on the trainer's precision."""

    @wraps(update)
    def wrapped(self: ImageMetric, images: Tensor, batch: TrainingBatch) -> None:
        with torch.autocast(images.device.type, enabled=False):
            update(self, images.float(), batch)

    return wrapped


def real_pictures(batch: TrainingBatch) -> Tensor:
    """The batch's photos in 0..1, the range of generated images."""
    return (batch.pictures + 1) / 2


def numbered(names: Sequence[str]) -> Tensor:
    """Hashes of names that ranks can gather: (N,) int64, 64 bits of SHA-256."""
    digests = (sha256(name.encode()).digest()[:8] for name in names)
    return torch.tensor([int.from_bytes(digest, "big", signed=True) for digest in digests], dtype=torch.int64)
