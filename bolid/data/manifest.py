"""The manifest: records of photos as Parquet, in the layout of HF datasets' `imagefolder`.

A photo below `train/`, `val/` or `test/` is listed in that folder's `metadata.parquet`, `file_name` relative to it, so
that `load_dataset("imagefolder", data_dir=…)` finds the splits; other photos are in the top folder's. Paths of
silhouettes are relative to the top folder.

A file's schema metadata hold the version of this format under `bolid_manifest`. Files without it are of version 1, or
of other origin: missing columns take their defaults. `stream_manifest` and `ManifestWriter` hold a few thousand rows at
a time.
"""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, check_relative
from bolid.core.schema import SPLITS, ImageRecord
from bolid.data.manifest_table import FORMAT as FORMAT
from bolid.data.manifest_table import SCHEMA, read_tables, to_table

log = logging.getLogger(__name__)
MANIFEST = "metadata.parquet"
ROWS = 4096  # rows of a row group, the unit of streaming


def split_of(file_name: str) -> str | None:
    """The split named by a photo's top folder, or None."""
    top = PurePosixPath(file_name).parts[0]
    return top if top in SPLITS else None


class ManifestWriter:
    """Writes a folder's whole manifest in chunks: `with ManifestWriter(folder) as writer: writer.write(…)`.

    The old manifest is kept until the block ends, and after an exception, so that it can be read meanwhile. Rows keep
    their order within a split.

    Args:
        folder: The top folder of the photos.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.rows = Path(folder), 0
        self._waiting: dict[str | None, list[ImageRecord]] = {split: [] for split in (None, *SPLITS)}
        self._files: dict[str | None, pq.ParquetWriter] = {}
        self._names = array("Q")  # a hash of each file name: eight bytes a row
        self._sizes: dict[str, int] = {}  # array lengths, equal for all rows
        self._stack = ExitStack()

    def __enter__(self) -> ManifestWriter:
        return self

    def write(self, records: Sequence[ImageRecord]) -> None:
        """Adds rows.

        Raises:
            BolidError: If a path leaves the folder or an array has the wrong shape.
        """
        for record in records:
            self._check(record)
            split = split_of(record.file_name)
            self._waiting[split].append(record)
            if len(self._waiting[split]) >= ROWS:
                self._flush(split)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        with self._stack:  # renames complete files, or removes them after an exception
            try:
                if error is None:
                    self._finish()
            finally:
                for file in self._files.values():
                    file.close()
            if error is not None:
                raise error
        for split in self._waiting.keys() - self._files.keys():
            (self.folder / (split or "") / MANIFEST).unlink(missing_ok=True)

    def _finish(self) -> None:
        for split, waiting in self._waiting.items():
            if waiting:
                self._flush(split)
        if len(np.unique(np.frombuffer(self._names, np.uint64))) < len(self._names):
            raise BolidError(f"manifest of {self.folder}: a photo is listed twice.")

    def _check(self, record: ImageRecord) -> None:
        where = f"manifest of {self.folder}"
        check_relative(record.file_name, where)
        if record.silhouette:
            check_relative(record.silhouette, where)
        self._names.append(int.from_bytes(blake2b(record.file_name.encode(), digest_size=8).digest()))
        self.rows += 1
        for name in ("face_embedding", "proportions"):
            value = getattr(record, name)
            if value is not None and self._sizes.setdefault(name, len(value)) != len(value):
                raise BolidError(
                    f"{where}: {record.file_name!r} needs {name} of shape ({self._sizes[name]},): its rows hold "
                    f"different numbers of {name}."
                )

    def _flush(self, split: str | None) -> None:
        if split not in self._files:
            temporary = self._stack.enter_context(atomic_path(self.folder / (split or "") / MANIFEST))
            self._files[split] = pq.ParquetWriter(temporary, SCHEMA)
        self._files[split].write_table(to_table(self.folder, self._waiting[split], split))
        self._waiting[split] = []


def write_manifest(folder: Path, records: Sequence[ImageRecord]) -> None:
    """Writes the folder's whole manifest; rows that are not in `records` are removed.

    Each file is written atomically. To extend a folder, write `read_manifest(folder) + new`.

    Args:
        folder: The top folder of the photos.
        records: One per photo, in any order; their order is kept within a split.

    Raises:
        BolidError: If a path leaves the folder, a photo is listed twice, or an array has the wrong shape.
    """
    with ManifestWriter(folder) as writer:
        writer.write(records)


def stream_manifest(folder: Path, rows: int = ROWS) -> Iterator[list[ImageRecord]]:
    """Yields the records of all photos below `folder`, at most `rows` at a time; order and errors as in
    `read_manifest`.

    It does not check for photos that are listed twice.
    """
    folder = Path(folder)
    paths = [(split, folder / (split or "") / MANIFEST) for split in (None, *SPLITS)]
    if not any(path.is_file() for _, path in paths):
        raise BolidError(
            f"{folder}: no {MANIFEST} here; make one with `bolid data annotate {folder}`, or correct the path."
        )
    for split, path in paths:
        if path.is_file():
            yield from read_tables(path, split, rows)


def read_manifest(folder: Path) -> list[ImageRecord]:
    """Reads the records of all photos below `folder`, the top folder's first, then train, val and test.

    Photos themselves are not opened. Columns other than `file_name`, `identity`, `keypoints` and `box` may be missing;
    a `caption` without `phrases` becomes one phrase of kind `text`.

    Raises:
        BolidError: If there is no manifest, or a row is malformed or points outside the folder.
    """
    records = [record for batch in stream_manifest(folder) for record in batch]
    _check_rows(Path(folder), records)
    return records


def read_kept(folder: Path) -> list[ImageRecord]:
    """Like `read_manifest`, without the photos that curation rejected."""
    return leave_out_rejected(read_manifest(folder), folder)


def leave_out_rejected(records: Sequence[ImageRecord], folder: Path) -> list[ImageRecord]:
    """The records that curation kept; logs the number of rejected ones by reason."""
    reasons = Counter(r.rejected for r in records if r.rejected)
    if reasons:
        why = ", ".join(f"{count} for {reason}" for reason, count in reasons.most_common())
        log.warning("%s: curation rejects %s of %s photos (%s)", folder, reasons.total(), len(records), why)
    return [r for r in records if not r.rejected]


def _check_rows(folder: Path, records: Sequence[ImageRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        if record.silhouette:
            check_relative(record.silhouette, f"manifest of {folder}")
        if record.file_name in seen:
            raise BolidError(f"manifest of {folder}: {record.file_name!r} is listed twice.")
        seen.add(record.file_name)
    for name in ("face_embedding", "proportions"):
        if len({len(value) for r in records if (value := getattr(r, name)) is not None}) > 1:
            raise BolidError(f"manifest of {folder}: its rows hold different numbers of {name}.")
