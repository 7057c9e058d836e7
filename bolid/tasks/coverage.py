"""Share of training samples that each loss and condition can use, measured before the first step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch

log = logging.getLogger(__name__)

SAMPLES = 256  # examined
TOGETHER = 32  # batch size: hundreds of large photos would not fit into memory
LEAST = 0.05  # minimum share; below it the part would only cost time


def coverage(
    dataset: Sequence[TrainingBatch], parts: Mapping[str, Callable[[TrainingBatch], Tensor]]
) -> dict[str, float]:
    """The share of the first training samples that each part can use.

    Args:
        dataset: Training samples, each a batch of one; indexing it must not disturb training.
        parts: Name -> function from a batch to (B,) bool.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in parts}
    waiting: list[TrainingBatch] = []
    count, last = 0, len(dataset) - 1
    for number in range(len(dataset)):
        waiting.append(dataset[number])
        count += len(waiting[-1])
        full = count >= SAMPLES or number == last
        if full or sum(map(len, waiting)) >= TOGETHER:
            batch = TrainingBatch.cat(waiting)
            waiting = []
            for name, part in parts.items():
                found[name].append(part(batch).cpu())
        if full:
            break
    return {name: float(torch.cat(values).float().mean()) if values else 0.0 for name, values in found.items()}


class Part(NamedTuple):
    """A loss or condition that cannot use every sample.

    Attributes:
        can_use: Function from a batch to (B,) bool.
        needs: Description of what a sample must have, for messages.
        off: Setting that turns the part off, for messages.
    """

    can_use: Callable[[TrainingBatch], Tensor]
    needs: str
    off: str


def check_coverage(dataset: Sequence[TrainingBatch], parts: Mapping[str, Part]) -> None:
    """Logs the parts that cannot use every training sample.

    Args:
        dataset: Training samples, see `coverage`.
        parts: Parts by their keys in the configuration, such as `losses.shape`.

    Raises:
        BolidError: If a part can use less than 5 % of the samples.
    """
    shares = coverage(dataset, {place: part.can_use for place, part in parts.items()})
    for place, share in shares.items():
        if share < LEAST:
            raise BolidError(
                f"{place} can use {100 * share:.0f} % of the training samples: it needs {parts[place].needs}; give "
                f"data that have them, or set {parts[place].off}"
            )
    report_coverage(shares)


@rank_zero_only
def report_coverage(shares: Mapping[str, float]) -> None:
    """Logs the parts that cannot use every sample."""
    for place, share in shares.items():
        if share < 1:
            log.warning("%s can use %.0f %% of the training samples", place, 100 * share)
