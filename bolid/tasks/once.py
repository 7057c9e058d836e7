"""Caches the outputs of frozen networks, since the same photos return in every epoch."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import torch
from torch import Tensor

from bolid.core.schema import TrainingBatch


class OncePerPhoto:
    """Caches an output per view of a photo, on the CPU.

    The key is the photo's name and a checksum of its pixels, so that a mirrored photo is another view.
    """

    def __init__(self) -> None:
        self.made: dict[tuple[str, int], Tensor] = {}

    def of(self, batch: TrainingBatch, make: Callable[[Tensor], Tensor]) -> Tensor:
        """`make(photos)` of the batch's photos (B, 3, H, W) in -1..1, from the cache where possible: (B, ...)."""
        pixels = batch.pictures.cpu().contiguous().numpy()
        keys = [(name, crc32(view)) for name, view in zip(batch.file_names, pixels, strict=True)]
        new = list({key: row for row, key in enumerate(keys) if key not in self.made}.values())
        if new:
            self.made |= zip((keys[row] for row in new), make(batch.pictures[new]).cpu(), strict=True)
        return torch.stack([self.made[key] for key in keys]).to(batch.pictures.device)
