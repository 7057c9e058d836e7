"""What the processes of a run tell each other."""

from __future__ import annotations

from typing import TypeVar

from torch import distributed

T = TypeVar("T")


def gather(value: T) -> list[T]:
    """Every rank's value, in the order of ranks, on each of them; in a single process its own alone.

    Args:
        value: Anything that can be pickled, tensors on the CPU. Every rank must call this.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
