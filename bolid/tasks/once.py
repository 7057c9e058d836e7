"""What frozen networks make of photos is made once: the photos come again in every epoch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.tasks.base import BaseTask


class OncePerPhoto:
    """Remembers what was made of each photo, by file name and on the CPU."""

    def __init__(self) -> None:
        self.made: dict[str, Tensor] = {}

    def of(self, batch: TrainingBatch, make: Callable[[Tensor], Tensor]) -> Tensor:
        """What `make` makes of the batch's photos (B, 3, H, W) in -1..1, seen now or before: (B, ...)."""
        new = [i for i, name in enumerate(batch.file_names) if name not in self.made]
        if new:
            self.made |= zip((batch.file_names[i] for i in new), make(batch.pictures[new]).cpu(), strict=True)
        return torch.stack([self.made[name] for name in batch.file_names]).to(batch.pictures.device)


def refuse_flips(task: BaseTask) -> None:
    """Photos that are mirrored at random are not the same each time.

    Raises:
        BolidError: If the data module mirrors.
    """
    specs = task.of_data("specs", {})
    if specs and specs["train"].flip:
        name = type(task).__name__
        raise BolidError(f"{name} encodes each photo once, so the data cannot mirror them: set data.train.flip to 0")
