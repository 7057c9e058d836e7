"""Stores verdicts in a table next to the measures, and in the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, open_parquet
from bolid.core.schema import SPLITS
from bolid.data.curate.store import CURATION, ROWS, SHA

TABLE = "verdicts.parquet"
SCHEMA = pa.schema(
    {
        "file_name": pa.string(),
        "identity": pa.string(),
        "rejected": pa.string(),
        "verdicts": pa.map_(pa.string(), pa.string()),
        "size": pa.int64(),
        "changed": pa.int64(),
        SHA: pa.binary(32),
    }
)
FOREIGN = ("metadata.csv", "metadata.jsonl", "metadata.parquet")  # of other programs' data sets
Verdict = tuple[str, dict[str, str]]  # the first filter that rejects, "" if none does; filter -> verdict


class Row(NamedTuple):
    """Curation's result of a photo.

    Attributes:
        file_name: Relative to the folder.
        identity: The person's key.
        rejected: The first filter that rejects it, "" if none does.
        verdicts: Filter -> verdict.
        size: Bytes of the file, and `changed`, its time in nanoseconds, when it was judged.
        sha256: SHA-256 of the file.
    """

    file_name: str
    identity: str
    rejected: str
    verdicts: dict[str, str]
    size: int = 0
    changed: int = 0
    sha256: bytes = b""


def write_verdicts(home: Path, rows: Iterator[Row]) -> None:
    """Writes the table atomically."""
    with atomic_path(home / CURATION / TABLE) as part, pq.ParquetWriter(part, SCHEMA) as writer:
        waiting: list[Row] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) >= ROWS:
                writer.write_table(_table(waiting))
                waiting = []
        writer.write_table(_table(waiting))


def _table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist([row._asdict() | {"verdicts": list(row.verdicts.items())} for row in rows], SCHEMA)


def stream_verdicts(home: Path) -> Iterator[Row]:
    """Yields the rows of `write_verdicts` in chunks; nothing if curation has not run.

    Raises:
        BolidError: If the table cannot be read.
    """
    path = home / CURATION / TABLE
    if not path.is_file():
        return
    try:
        with open_parquet(path) as file:
            for batch in file.iter_batches(ROWS):
                for row in batch.to_pylist():
                    yield Row(**row | {"verdicts": dict(row["verdicts"])})
    except (pa.ArrowException, OSError, KeyError, TypeError) as error:
        raise BolidError(f"{path}: not a readable table of verdicts; run `bolid data curate` anew ({error})") from error


def read_verdicts(home: Path) -> Mapping[str, Verdict]:
    """File name -> verdict, for a set that fits into memory."""
    return {row.file_name: (row.rejected, row.verdicts) for row in stream_verdicts(home)}


def manifest_is_ours(folder: Path) -> bool:
    """Whether a folder has a manifest of this program, which gets the verdicts.

    Raises:
        BolidError: If it has metadata of another program, which are not changed.
    """
    found = [folder / s / name for s in ("", *SPLITS) for name in FOREIGN if (folder / s / name).is_file()]
    foreign = [path for path in found if not is_ours(path)]
    if foreign:
        raise BolidError(
            f"{foreign[0]} belongs to another program and is not changed: give `--out FOLDER` for what curation writes"
        )
    return bool(found)


def is_ours(path: Path) -> bool:
    """Whether a file is a manifest of this program."""
    if path.suffix != ".parquet":
        return False
    try:
        return b"bolid_manifest" in (pq.read_schema(path).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def into_manifest(folder: Path, home: Path) -> int:
    """Writes the verdicts into the folder's manifest, in row order; returns the number of photos with one."""
    from bolid.data.manifest import ManifestWriter, stream_manifest

    found, rows = 0, _in_step(home)
    with ManifestWriter(folder) as writer:
        for records in stream_manifest(folder):
            verdicts = rows({r.file_name for r in records})
            found += len(verdicts)
            given = [(r, verdicts.get(r.file_name, (r.rejected, r.verdicts))) for r in records]
            writer.write([replace(r, rejected=rejected, verdicts=v) for r, (rejected, v) in given])
    return found


def _in_step(home: Path) -> Callable[[set[str]], dict[str, Verdict]]:
    """Looks up verdicts; requests in about the table's order keep few in memory."""
    stream = stream_verdicts(home)
    ahead: dict[str, Verdict] = {}

    def find(names: set[str]) -> dict[str, Verdict]:
        nonlocal ahead
        while not names <= ahead.keys() and (row := next(stream, None)):
            ahead[row.file_name] = row.rejected, row.verdicts
        taken = {name: ahead[name] for name in names & ahead.keys()}
        ahead = {name: verdict for name, verdict in ahead.items() if name not in taken}
        return taken

    return find
