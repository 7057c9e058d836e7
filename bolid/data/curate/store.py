"""Storage of measures: content hash -> values, in Parquet files that grow by complete parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, open_parquet
from bolid.data.curate.measure import Measure

CURATION = ".curation"  # the folder, which is not scanned for photos
SHA = "sha256"
ROWS = 4096  # rows in memory at a time


class Store:
    """The values of one measure. Appended parts survive any interruption.

    Args:
        home: The folder in which `.curation` is.
        measure: Its name and fingerprint name the files, its columns are theirs.
    """

    def __init__(self, home: Path, measure: Measure) -> None:
        self.folder = Path(home) / CURATION
        self.stem = f"{measure.name}-{measure.fingerprint[:16]}"
        self.schema = pa.schema([(SHA, pa.binary(32)), *measure.columns.items()])

    @property
    def files(self) -> list[Path]:
        """The whole table's file, if there is one, and the parts."""
        return sorted(self.folder.glob(f"{self.stem}*.parquet")) if self.folder.is_dir() else []

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Writes rows as a part, atomically."""
        if rows:
            with atomic_path(self.folder / f"{self.stem}.{uuid4().hex[:12]}.parquet") as part:
                pq.write_table(pa.Table.from_pylist(list(rows), self.schema), part)

    def compact(self) -> None:
        """Merges all parts into one file, and removes them once it is complete."""
        files = self.files
        if len(files) < 2:
            return
        whole = self.folder / f"{self.stem}.parquet"
        with atomic_path(whole) as part, pq.ParquetWriter(part, self.schema) as writer:
            for table in self.batches(self.schema.names):
                writer.write_table(table)
        for file in files:
            if file != whole:
                file.unlink(missing_ok=True)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """These columns, some thousand rows at a time.

        Raises:
            BolidError: If a file is broken.
        """
        for path in self.files:
            try:
                with open_parquet(path) as file:
                    for batch in file.iter_batches(ROWS, columns=list(columns)):
                        yield pa.table(batch).select(list(columns))
            except (pa.ArrowException, OSError, KeyError) as error:
                raise BolidError(
                    f"{path}: not a readable table of measures; delete it, it will be made anew ({error})"
                ) from error

    def keys(self) -> np.ndarray:
        """(rows,) the first half of each content hash, in the order of `batches`."""
        found = [keys_of(table[SHA]) for table in self.batches([SHA])]
        return np.concatenate([np.empty(0, "S16"), *found])

    def column(self, name: str) -> pa.ChunkedArray:
        """One column, in the order of `batches`."""
        tables = list(self.batches([name]))
        return pa.chunked_array([c for t in tables for c in t[name].chunks], self.schema.field(name).type)


def keys_of(hashes: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """(n,) S16: the first 16 bytes of SHA-256 hashes of type binary(32); enough to distinguish files."""
    chunks = hashes.chunks if isinstance(hashes, pa.ChunkedArray) else [hashes]
    found = [np.frombuffer(c.buffers()[1], "V32", len(c), c.offset * 32) for c in chunks if len(c)]
    whole = np.concatenate([np.empty(0, "V32"), *found])
    return np.frombuffer(whole.tobytes(), np.uint8).reshape(-1, 32)[:, :16].copy().view("S16").ravel()


def positions(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The index of each wanted key among keys, or -1."""
    if not len(keys):
        return np.full(len(wanted), -1)
    order = np.argsort(keys, kind="stable")
    at = np.searchsorted(keys, wanted, sorter=order).clip(max=len(keys) - 1)
    return np.where(keys[order[at]] == wanted, order[at], -1)
