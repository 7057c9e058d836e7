"""Distributed sampling that resumes in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler


class Draw(NamedTuple):
    """The key of a sample: with the seed, it determines the sample. `place` is its index in the epoch of all ranks."""

    epoch: int
    place: int


class EpochSampler(DistributedSampler):
    """Distributes the indices 0..length-1 over ranks in chunks of `together`, as `Draw`s.

    It does not shuffle: the dataset makes random samples from (seed, epoch, index). As a `DistributedSampler`, it is
    not replaced by Lightning, which sets its epoch.

    All ranks yield the same number of batches, else distributed steps deadlock: training ends with the last batch that
    is full on every rank; evaluation may drop up to `num_replicas` − 1 samples that would need a batch on some ranks
    only.
    """

    def __init__(
        self, length: int, batch_size: int, training: bool, num_replicas: int = 1, rank: int = 0, together: int = 1
    ) -> None:
        """See the class.

        Args:
            length: Number of samples in an epoch, over all ranks.
            batch_size: Number of samples per batch and rank.
            training: Whether to yield only full batches, and to pass on the epoch.
            num_replicas: Number of ranks.
            rank: This rank, from 0.
            together: Number of consecutive samples that stay in one batch in training; a divisor of `batch_size`.
        """
        super().__init__(range(length), num_replicas, rank, shuffle=False)  # type: ignore[arg-type]
        self.training, self.together = training, together
        # `fewest` is the smallest number of samples of any rank, `mine` that of this one.
        fewest, mine = length // (num_replicas * together) * together, len(range(rank, length, num_replicas))
        full = fewest // batch_size * batch_size
        self.num_samples = full if training else min(mine, -(-fewest // batch_size) * batch_size)
        self.start = 0

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[Draw]:
        epoch = self.epoch if self.training else 0
        for position in range(self.start, self.num_samples):
            chunk, place = divmod(position, self.together)
            yield Draw(epoch, (chunk * self.num_replicas + self.rank) * self.together + place)


class ResumableLoader(DataLoader):
    """A training DataLoader with a state: the epoch and the number of samples used, without workers' prefetching.

    Its sampler must be an `EpochSampler`. Samples are functions of (seed, epoch, index), so that no other state is
    needed, and one rank's state holds for all.
    """

    _epoch = 0
    _used = 0  # samples, over all ranks
    _resume: tuple[int, int] | None = None

    def __iter__(self) -> Iterator:
        # A generator, since it starts at the first `next`, after Lightning has set the sampler's epoch.
        sampler: EpochSampler = self.sampler  # type: ignore[assignment]
        epoch, used = self._resume or (sampler.epoch, 0)
        self._resume = None
        self._epoch, self._used = sampler.epoch, used if epoch == sampler.epoch else 0
        sampler.start = self._used // sampler.num_replicas
        for batch in super().__iter__():
            self._used += (self.batch_size or 1) * sampler.num_replicas
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The loader's position, which Lightning saves in the checkpoint."""
        return {"epoch": self._epoch, "samples": self._used}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resumes the next iteration there if it is of the same epoch; another epoch starts from its beginning."""
        self._epoch, self._used = self._resume = (state["epoch"], state["samples"])
