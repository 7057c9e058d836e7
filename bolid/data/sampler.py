"""Which samples a rank sees, in which order, from where on: the same after a kill as without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


class Draw(NamedTuple):
    """What a dataset is asked for: with the seed, it decides the sample. `place` is in the epoch, over all ranks."""

    epoch: int
    place: int


class EpochSampler(DistributedSampler):
    """Deals the indices 0..length-1 out to the ranks, so many `together` to each in turn, as `Draw`s.

    It does not shuffle: chance lies in the dataset, which makes a sample from (seed, epoch, index). It is a
    `DistributedSampler` so that Lightning neither replaces it nor forgets to tell it the epoch.

    All ranks yield the same number of batches, without which distributed steps wait forever: training stops after the
    last batch that is full on every rank; an evaluation keeps all samples, but for at most one fewer than there are
    ranks, where some of them alone would need another batch.
    """

    def __init__(
        self, length: int, batch_size: int, training: bool, num_replicas: int = 1, rank: int = 0, together: int = 1
    ) -> None:
        """See the class.

        Args:
            length: Samples of an epoch, over all ranks.
            batch_size: Samples of a batch on one rank.
            training: Whether only full batches count, and the epoch makes a difference.
            num_replicas: Number of ranks.
            rank: This one, from 0.
            together: How many neighbours never part, in training; a divisor of `batch_size`.
        """
        super().__init__(range(length), num_replicas, rank, shuffle=False)  # type: ignore[arg-type]
        self.training, self.together = training, together
        fewest, mine = length // (num_replicas * together) * together, len(range(rank, length, num_replicas))
        full = fewest // batch_size * batch_size
        self.num_samples = full if training else min(mine, -(-fewest // batch_size) * batch_size)
        self.start = 0

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch if self.training else 0
        for position in range(self.start, self.num_samples):
            lot, place = divmod(position, self.together)
            yield Draw(epoch, (lot * self.num_replicas + self.rank) * self.together + place)


class ResumableLoader(DataLoader):
    """A training DataLoader whose checkpoint is the epoch and the samples used; workers' read-ahead does not count.

    Its sampler must be an `EpochSampler`. Samples being functions of (seed, epoch, index), nothing else has to be kept,
    and a state saved on one rank holds for all of them.
    """

    _epoch = 0
    _used = 0  # samples, over all ranks
    _resume: tuple[int, int] | None = None

    def __iter__(self) -> Iterator:
        # A generator on purpose: it starts at the first `next`, by when Lightning has told the sampler the epoch.
        sampler: EpochSampler = self.sampler  # type: ignore[assignment]
        epoch, used = self._resume or (sampler.epoch, 0)
        self._resume = None
        self._epoch, self._used = sampler.epoch, used if epoch == sampler.epoch else 0
        sampler.start = self._used // sampler.num_replicas
        for batch in super().__iter__():
            self._used += (self.batch_size or 1) * sampler.num_replicas
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands; Lightning puts it into the checkpoint."""
        return {"epoch": self._epoch, "samples": self._used}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration go on from there if it is of the same epoch, else it starts afresh."""
        self._epoch, self._used = self._resume = (state["epoch"], state["samples"])
