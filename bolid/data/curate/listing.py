"""Lists a folder's photos with content hashes; only files with a new size or date are read again."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.photos import SUFFIXES
from bolid.core.safe_io import atomic_path, resolve_inside
from bolid.core.schema import SPLITS
from bolid.data.curate.store import CURATION, ROWS, SHA

LISTING = "photos.parquet"
SIDECARS = (".txt", ".caption", ".json", ".jsonl", ".csv", ".parquet", ".npz", ".npy")  # belong to photos, or to a set
SCHEMA = pa.schema(
    {
        "file_name": pa.string(),
        "identity": pa.string(),
        "bytes": pa.int64(),
        "changed": pa.int64(),
        SHA: pa.binary(32),
    }
)


@dataclass
class Listing:
    """The content of a folder of people's folders.

    Attributes:
        photos: One row per photo, see `SCHEMA`, sorted by folder and name.
        left_out: Number of files that are no photos, by kind.
    """

    photos: pa.Table
    left_out: Counter[str] = field(default_factory=Counter)


def list_photos(folder: Path, home: Path, workers: int = 1) -> Listing:
    """Lists FOLDER/PERSON/PHOTO and FOLDER/SPLIT/PERSON/PHOTO, or a manifest's photos, with their content hashes.

    A manifest of annotation is not used: it lacks photos that curation once rejected.

    Args:
        folder: The folder of people's folders.
        home: Folder of `.curation`, which stores the listing: files of unchanged size and date are not read again.
        workers: Threads that read files.

    Raises:
        BolidError: If the folder is missing or cannot be listed.
    """
    if not folder.is_dir():
        raise BolidError(f"{folder}: no such folder; give one that holds a folder of photos for each person.")
    found = Listing(SCHEMA.empty_table())
    path = home / CURATION / LISTING
    before = Before(path)
    names = _in_manifest(folder) if _has_manifest(folder) else _in_folders(folder, found.left_out)
    with atomic_path(path) as part, pq.ParquetWriter(part, SCHEMA) as writer, ThreadPoolExecutor(workers) as pool:
        while some := list(islice(names, ROWS)):
            known = before.find([name for name, _ in some])
            rows = [
                row for row in pool.map(lambda pair, known: _row(folder, pair[0], pair[1], known), some, known) if row
            ]
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
            found.left_out["files that are links to outside, or vanished"] += len(some) - len(rows)
    found.left_out = +found.left_out
    found.photos = pq.read_table(path)
    return found


def _row(folder: Path, name: str, identity: str, known: tuple[int, int, bytes] | None) -> dict | None:
    """A photo's row; None if it vanished, or is a link to outside the folder."""
    try:
        path = resolve_inside(folder, name)
        status = os.stat(path)
        stamp = status.st_size, status.st_mtime_ns
        if known and known[:2] == stamp:
            content = known[2]
        else:
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
    except (BolidError, OSError):
        return None
    return {"file_name": name, "identity": identity, "bytes": stamp[0], "changed": stamp[1], SHA: content}


class Before:
    """The last listing, by a hash of the names: some bytes a photo."""

    def __init__(self, path: Path) -> None:
        table = SCHEMA.empty_table()
        if path.is_file():
            with suppress(pa.ArrowException, OSError):  # a broken one is rebuilt
                table = pq.read_table(path, schema=SCHEMA)
        self.rows = table.select(["bytes", "changed", SHA])
        names = np.array([_hash(str(n)) for n in table["file_name"]], np.uint64)
        self.order = np.argsort(names)
        self.names = names[self.order]

    def find(self, names: list[str]) -> list[tuple[int, int, bytes] | None]:
        """Last size, date and content hash of each of these photos."""
        if not len(self.names):
            return [None] * len(names)
        wanted = np.array([_hash(name) for name in names], np.uint64)
        at = np.searchsorted(self.names, wanted).clip(max=len(self.names) - 1)
        rows = self.rows.take(self.order[at])
        values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
        return [row if hit else None for row, hit in zip(values, self.names[at] == wanted, strict=True)]


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())


def _has_manifest(folder: Path) -> bool:
    from bolid.data.annotate.store import FOLDER
    from bolid.data.manifest import MANIFEST

    return not (folder / FOLDER).is_dir() and any((folder / split / MANIFEST).is_file() for split in ("", *SPLITS))


def _in_manifest(folder: Path) -> Iterator[tuple[str, str]]:
    from bolid.data.manifest import stream_manifest

    return ((r.file_name, r.identity) for rows in stream_manifest(folder) for r in rows)


def _in_folders(folder: Path, left_out: Counter[str]) -> Iterator[tuple[str, str]]:
    """File name and identity of every photo."""
    for top in _entries(folder):
        if not (folder / top).is_dir():
            _count(top, left_out, "beside the people's folders")
            continue
        inside = [f"{top}/{n}" for n in _entries(folder / top)] if top in SPLITS else [top]
        yield from chain.from_iterable(_of_person(folder, person, left_out) for person in inside)


def _of_person(folder: Path, person: str, left_out: Counter[str]) -> Iterator[tuple[str, str]]:
    for name in _entries(folder / person):
        whole = f"{person}/{name}"
        if name.lower().endswith(SUFFIXES) and name.isprintable() and (folder / whole).is_file():
            yield whole, person.rpartition("/")[2]
        elif (folder / whole).is_dir():
            left_out["folders below a person's"] += 1
        else:
            _count(name, left_out, f"of type {Path(name).suffix[:10] or 'unknown'!r}")


def _count(name: str, left_out: Counter[str], why: str) -> None:
    if not name.lower().endswith(SIDECARS):
        left_out[f"files {why}"] += 1


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name[0] != ".") if folder.is_dir() else []
    except OSError as error:
        raise BolidError(f"{folder}: cannot be listed ({error}).") from error
