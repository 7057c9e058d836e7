"""Communication between the ranks of a run."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

T = TypeVar("T")


def gather(value: T) -> list[T]:
    """Gathers the values of all ranks, in order, on every rank; a single process returns its own.

    Args:
        value: Any picklable value, tensors on the CPU. Collective: every rank must call this.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
