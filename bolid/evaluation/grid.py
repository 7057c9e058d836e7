"""The first photos of a validation, the fixed samples of the sample grid."""

from __future__ import annotations

from bolid.core.ranks import gather
from bolid.core.schema import TrainingBatch

PHOTOS = 4


class FirstPhotos:
    """Collects the first `PHOTOS` samples of a validation, batch by batch."""

    def __init__(self) -> None:
        self.batch: TrainingBatch | None = None

    def add(self, batch: TrainingBatch, number: int) -> None:
        """Adds samples of batch `number` until `PHOTOS` are collected; batch 0 starts anew."""
        if number == 0:
            self.batch = batch[:PHOTOS]
        elif self.batch is not None and len(self.batch) < PHOTOS:
            self.batch = TrainingBatch.cat([self.batch, batch])[:PHOTOS]

    def gathered(self) -> TrainingBatch | None:
        """The first photos over all ranks, on the CPU; None if there are none. Collective."""
        return first_photos(gather(self.batch and self.batch.to("cpu")))


def first_photos(shares: list[TrainingBatch | None]) -> TrainingBatch | None:
    """The first photos of a data set that a distributed sampler interleaves over ranks; None if there are none."""
    dealt = [share[k : k + 1] for k in range(PHOTOS) for share in shares if share is not None and k < len(share)]
    return TrainingBatch.cat(dealt[:PHOTOS]) if dealt else None
