"""Filter of near-duplicate photos of one person, of several people, or in several splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.pixels import PixelMeasure

MOST = 4000  # photos of a person that are compared each with each; beyond, only those with an equal part of the hash
CROWD = 64  # photos with an equal part that each is compared with; where there are more, they are blank, or made to be


@dataclass
class Copies(Filter):
    """Keeps of near-duplicate photos the one with the most pixels, training photos first.

    They are compared by a perceptual hash of 256 bits, mirrored too. Cropping changes it most: 2 % off the sides is
    about 20 to 45 bits. Different photos of a person are 70 bits apart and more.

    Attributes:
        within: Maximum number of different bits of copies, for one person in one split.
        across: The same for photos of two people, or in two splits.
    """

    within: int = 52
    across: int = 32
    name = "copies"

    def measure(self) -> Measure:
        """The pixels."""
        return PixelMeasure()

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Finds, of each photo, a kept one that it is a copy of."""
        self._alive = alive & photos.measured("pixels")
        self._of = np.full(len(photos), -1, np.int32)
        self._bits = np.full(len(photos), -1, np.int16)
        rows = np.flatnonzero(self._alive)
        rows = rows[np.argsort(self._preference(photos)[rows], kind="stable")]
        rank = np.full(len(photos), -1, np.int32)
        rank[rows] = np.arange(len(rows), dtype=np.int32)
        close: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for first, second, bits in self._pairs(photos, rows):
            better, worse = (first, second) if rank[first] < rank[second] else (second, first)
            close[worse].append((better, bits))
        for row in sorted(close, key=lambda row: rank[row]):  # the best first, so that it is already decided
            kept = [(bits, other) for other, bits in close[row] if self._of[other] < 0]
            if kept:
                self._bits[row], self._of[row] = min(kept)

    def judge(self, photos: Photos, k: int) -> str:
        """Names the photo that it is a copy of."""
        if self._of[k] < 0:
            return KEPT if self._alive[k] else UNKNOWN
        other, name = int(self._of[k]), photos.name(self._of[k])
        if photos.keys[k] == photos.keys[other]:
            return f"copy: the same file as {name}"
        return f"copy: {self._bits[k]} <= {self._limit(photos, k, other)} bits from {name}"

    def chose(self, rows: np.ndarray) -> bool:
        """Whether one of these photos, (n,) bool, is the one that was kept of several copies."""
        return bool(rows[self._of[self._of >= 0]].any())

    def _limit(self, photos: Photos, first: int, second: int) -> int:
        same = photos.people[first] == photos.people[second] and photos.splits[first] == photos.splits[second]
        return self.within if same else self.across

    def _preference(self, photos: Photos) -> np.ndarray:
        """(n,) float64: lower is better; what later filters keep, training before the others, then more pixels."""
        area = np.nan_to_num(photos.numbers("pixels", "width") * photos.numbers("pixels", "height"))
        return photos.unfit * 1e14 + photos.splits * 1e12 - area

    def _pairs(self, photos: Photos, rows: np.ndarray) -> Iterator[tuple[int, int, int]]:
        """Photos close enough, and in how many bits they differ."""
        plain, mirrored = (photos.bits("pixels", name).view(np.uint64) for name in ("hash", "mirrored"))
        for group in photos.by_person(rows):
            if len(group) <= MOST:
                yield from self._within(photos, plain, mirrored, group)
        for first, second in alike(plain, mirrored, rows):
            bits = differing(plain[first], plain[second])
            bits = np.minimum(bits, differing(plain[first], mirrored[second]))
            for k in np.flatnonzero(bits <= max(self.within, self.across)):
                yield from self._close(photos, int(first[k]), int(second[k]), int(bits[k]))

    def _within(
        self, photos: Photos, plain: np.ndarray, mirrored: np.ndarray, group: np.ndarray
    ) -> Iterator[tuple[int, int, int]]:
        """Each of a person's photos with each, some at a time."""
        for start in range(0, len(group), 256):
            some = group[start : start + 256]
            bits = differing(plain[some][:, None], plain[group][None])
            bits = np.minimum(bits, differing(plain[some][:, None], mirrored[group][None]))
            for a, b in np.argwhere(bits <= max(self.within, self.across)):
                if a + start < b:
                    yield from self._close(photos, int(some[a]), int(group[b]), int(bits[a, b]))

    def _close(self, photos: Photos, one: int, other: int, bits: int) -> Iterator[tuple[int, int, int]]:
        if bits <= self._limit(photos, one, other):
            yield one, other, bits


def differing(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In how many bits hashes (…, 4) uint64 differ: (…,) uint16."""
    return np.bitwise_count(first ^ second).sum(-1, dtype=np.uint16)


def alike(plain: np.ndarray, mirrored: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows of which 16 of the low-frequency bits are equal, plain or mirrored; copies nearly always are.

    The first bits of each row of the 16 x 16 hash are its lower frequencies across, the first rows those downwards.
    Photos with equal bits are paired with the few next to them in the order of the whole hash, since of blank photos
    all have the same bits.
    """
    low = [hashes.view(np.uint8).reshape(-1, 16, 2)[:, :, 0] for hashes in (plain, mirrored)]  # (n, 16 rows) of 8 bits
    for part in range(8):
        words = [np.ascontiguousarray(bits[rows, 2 * part : 2 * part + 2]).view(np.uint16).ravel() for bits in low]
        keys, owners = np.concatenate(words), np.concatenate([rows, rows])
        order = np.lexsort([plain[owners, 0], keys])
        keys, owners = keys[order], owners[order]
        for step in range(1, min(CROWD, len(keys))):
            equal = keys[step:] == keys[:-step]
            if not equal.any():
                break
            pairs = np.sort([owners[:-step][equal], owners[step:][equal]], axis=0)
            pairs = pairs[:, pairs[0] != pairs[1]]
            yield pairs[0], pairs[1]
