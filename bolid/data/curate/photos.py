"""All photos of a set as columns: names, people, and known measures, a few bytes per photo."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bolid.data.curate.measure import Measure
from bolid.data.curate.store import SHA, Store, keys_of, positions
from bolid.data.manifest import split_of


class Photos:
    """The listing and the stores, aligned: entry k of every array is photo k's.

    Args:
        folder: Folder of the photos.
        home: Folder of `.curation`.
        listing: One row per photo, see `bolid.data.curate.listing`.

    Attributes:
        keys: (n,) the first half of each content hash.
        unfit: (n,) bool, photos that a filter rejected in an earlier pass of the chain.
    """

    def __init__(self, folder: Path, home: Path, listing: pa.Table) -> None:
        self.folder, self.home = folder, home
        self.listing = listing.combine_chunks()  # one chunk: entries are then found at once
        self._names, self._identities, self._contents, self._bytes, self._changed = (
            self.listing[name].combine_chunks() for name in ("file_name", "identity", SHA, "bytes", "changed")
        )
        self.keys = keys_of(self._contents)
        self.unfit = np.zeros(len(listing), bool)
        self._stores: dict[str, Store] = {}
        self._positions: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.listing)

    def name(self, k: int) -> str:
        """Path of a photo, relative to the folder."""
        return self._names[int(k)].as_py()

    def path(self, k: int) -> Path:
        """The absolute path of a photo."""
        return self.folder / self.name(k)

    @cached_property
    def people(self) -> np.ndarray:
        """(n,) int32: an index per person."""
        return pc.dictionary_encode(self.listing["identity"]).combine_chunks().indices.to_numpy()

    @cached_property
    def splits(self) -> np.ndarray:
        """(n,) int8: 0 for train or none, 1 for val, 2 for test."""
        order = {None: 0, "train": 0, "val": 1, "test": 2}
        return np.fromiter((order[split_of(str(name))] for name in self.listing["file_name"]), np.int8, len(self))

    def identity(self, k: int) -> str:
        """The identity of a photo."""
        return self._identities[int(k)].as_py()

    def content(self, k: int) -> bytes:
        """SHA-256 of a photo's file."""
        return self._contents[int(k)].as_py()

    def stamp(self, k: int) -> tuple[int, int]:
        """Bytes of a photo's file, and its time in nanoseconds."""
        return self._bytes[int(k)].as_py(), self._changed[int(k)].as_py()

    def store(self, measure: Measure) -> Store:
        """Attaches a measure's store, which `column` reads from then on."""
        return self._stores.setdefault(measure.name, Store(self.home, measure))

    def refresh(self, measure: Measure) -> None:
        """Reloads which photos the measure's store holds."""
        self._positions[measure.name] = positions(self.store(measure).keys(), self.keys)

    def measured(self, name: str) -> np.ndarray:
        """(n,) bool: whether the values of this measure are known."""
        return self._positions[name] >= 0 if name in self._positions else np.zeros(len(self), bool)

    def arrow(self, measure: str, column: str) -> pa.ChunkedArray:
        """A measure's column; null where the photo was not measured."""
        at = self._positions[measure]
        found = self._stores[measure].column(column)
        return found.take(pa.array(at, mask=at < 0))

    def numbers(self, measure: str, column: str) -> np.ndarray:
        """(n,) float32: a measure's column of numbers; NaN if unknown."""
        return pc.cast(self.arrow(measure, column), pa.float32()).to_numpy(zero_copy_only=False)

    def bits(self, measure: str, column: str) -> np.ndarray:
        """(n, bytes) uint8: a measure's column of equally long byte strings; zeros if unknown."""
        found = self.arrow(measure, column)
        width = found.type.byte_width
        filled = pc.fill_null(found, pa.scalar(bytes(width), found.type))
        return np.frombuffer(b"".join(filled.to_pylist()), np.uint8).reshape(-1, width)

    def vectors(self, measure: str, column: str, rows: np.ndarray) -> dict[int, np.ndarray]:
        """Row -> (size,) float32 of some photos, from a column of bytes of float16; those without a value are left out.

        The table is read in chunks of a few thousand rows, and only the requested values are kept.
        """
        wanted: dict[int, list[int]] = {int(at): [] for at in np.unique(self._positions[measure][rows]) if at >= 0}
        for row in rows:
            wanted.get(int(self._positions[measure][row]), []).append(int(row))
        found: dict[int, np.ndarray] = {}
        start = 0
        for table in self._stores[measure].batches([column]):
            for at in wanted.keys() & set(range(start, start + len(table))):
                value = table[column][at - start].as_py()
                if value:
                    found |= dict.fromkeys(wanted[at], np.frombuffer(value, np.float16).astype(np.float32))
            start += len(table)
        return found

    def by_person(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yields these rows per person."""
        order = rows[np.argsort(self.people[rows], kind="stable")]
        cuts = np.flatnonzero(np.diff(self.people[order])) + 1
        yield from (part for part in np.split(order, cuts) if len(part))
