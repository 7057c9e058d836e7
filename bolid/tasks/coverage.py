"""How many training samples each part of a task can make use of, before the first step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import torch
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch

log = logging.getLogger(__name__)

SAMPLES = 256  # looked at
TOGETHER = 32  # at a time: hundreds of large photos would not fit into memory
LEAST = 0.05  # share below which a fit would pay for nothing


def coverage(
    dataset: Sequence[TrainingBatch], parts: Mapping[str, Callable[[TrainingBatch], Tensor]]
) -> dict[str, float]:
    """The share of the first training samples of which each part says True.

    Args:
        dataset: Of batches, such as a training data set's samples; indexing it must not disturb training.
        parts: Name -> a function of a batch to (B,) bool.
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


@rank_zero_only
def report_coverage(shares: Mapping[str, float]) -> None:
    """Logs by name what cannot make use of every sample."""
    for name, share in shares.items():
        if share < 1:
            log.warning("%s can use %.0f %% of the training samples", name, 100 * share)


def check_coverage(shares: Mapping[str, float], needs: Mapping[str, str]) -> None:
    """Refuses a fit in which a part would be (nearly) always zero.

    Args:
        shares: By the part's place in the configuration, such as `losses.shape`.
        needs: What each part needs of a sample.

    Raises:
        BolidError: If there is one.
    """
    for place, share in shares.items():
        if share < LEAST:
            raise BolidError(
                f"{place} can use {100 * share:.0f} % of the training samples: it needs {needs[place]}; give data that "
                f"have them, or set {place} to null"
            )
