"""The order of targets in an epoch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from bolid.core.schema import ImageRecord


class Rounds:
    """Order of training: rounds in which each identity occurs once, the target uniform over the person's photos.

    Photos of one group (see `ImageRecord`) are consecutive. An incomplete group is left out, so that it does not shift
    others. Identities of a family are consecutive, so that they share a batch as hard negatives.

    Attributes:
        size: Number of photos in a group; 1 without groups.
        left_out: Number of photos that are no targets, because their group is incomplete.
    """

    def __init__(self, records: Sequence[ImageRecord], rows: Iterable[int], seed: int) -> None:
        """Sorts the photos into groups, groups by their identities, and these by family.

        Args:
            records: All photos; the largest of their groups is complete.
            rows: Indices of possible targets.
            seed: Seed of the order.
        """
        # The largest group is complete, and smaller ones lack a photo.
        self.size = max(Counter(r.group for r in records if r.group).values(), default=1)
        self.seed = seed
        members: dict[object, list[int]] = defaultdict(list)
        for k in rows:
            members[records[k].group or k].append(k)
        whole = [sorted(group, key=lambda k: _key(records[k])) for group in members.values() if len(group) == self.size]
        self.left_out = sum(map(len, members.values())) - self.size * len(whole)
        teams: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
        for group in whole:
            teams[tuple(records[k].identity for k in group)].append(group)
        self._teams = [np.array(teams[team_key]) for team_key in sorted(teams)]  # each (groups, size)
        families: dict[object, list[int]] = defaultdict(list)
        for number, team in enumerate(self._teams):
            families[records[team[0, 0]].family or (number,)].append(number)
        self._families = [np.array(family) for family in families.values()]
        self._last_round: tuple[tuple[int, int], np.ndarray] = ((-1, -1), np.empty(0, int))

    def __len__(self) -> int:
        """The number of targets."""
        return sum(team.size for team in self._teams)

    def target(self, epoch: int, place: int, rng: np.random.Generator) -> int:
        """The photo of a place; photos of one group need generators in the same state."""
        group_index, member = divmod(place, self.size)
        rounds, turn = divmod(group_index, len(self._teams))
        groups = self._teams[self._round(epoch, rounds)[turn]]
        return int(groups[rng.integers(len(groups)), member])

    def _round(self, epoch: int, rounds: int) -> np.ndarray:
        """The order of one round of an epoch; the last one is cached, since samples are requested in order."""
        key = (epoch, rounds)
        if self._last_round[0] != key:
            families = np.random.default_rng([self.seed, 2, *key]).permutation(len(self._families))
            self._last_round = key, np.concatenate([self._families[k] for k in families])
        return self._last_round[1]


def _key(record: ImageRecord) -> tuple[str, str]:
    return record.identity, record.file_name


def fixed_order(
    rows: Mapping[str, np.ndarray], seed: int, can_be_target: Callable[[int], bool], max_targets: int | None = None
) -> list[int]:
    """Order of evaluation: every photo once, with neighbours of different people as far as possible.

    Args:
        rows: Indices of each person's photos.
        seed: Seed of the order.
        can_be_target: Filter of targets, by index.
        max_targets: Maximum number per person.
    """
    rng = np.random.default_rng([seed, 0])
    shuffled = [rng.permutation(rows[identity]) for identity in rng.permutation(list(rows))]
    targets = [[int(k) for k in photos if can_be_target(k)][:max_targets] for photos in shuffled]
    # The k-th photo of every person comes before anyone's next one.
    rounds = max(map(len, targets), default=0)
    return [photos[k] for k in range(rounds) for photos in targets if k < len(photos)]
