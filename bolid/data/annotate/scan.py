"""Records a folder's photos and their metadata in the store, and counts other files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import resolve_inside, sha256
from bolid.core.schema import SPLITS
from bolid.data.annotate.captions import table_rows
from bolid.data.annotate.find import UNREADABLE
from bolid.data.annotate.listing import METADATA, Entry, list_files
from bolid.data.annotate.store import Store, stamp_of
from bolid.data.annotate.summary import LeftOutList
from bolid.data.curate.verdicts import stream_verdicts
from bolid.data.manifest import MANIFEST, stream_manifest

COLLECTED = "collected.jsonl"
REJECTED = "rejected by curation"  # begins the kind of what is left out for that
CARRIED = ("address", "fetched", "licence", "source", "verdicts", "rejected")  # what others wrote into the manifest
_COMMIT = 500  # photos


def first_photos(folder: Path, count: int) -> list[Path]:
    """Some photos of the folder."""
    try:
        return [folder / e.name for e in islice((e for e in list_files(folder) if not e.reason), count)]
    except OSError as error:
        raise BolidError(f"{folder}: cannot be listed ({error}).") from error


def scan_files(folder: Path, store: Store, left_out: LeftOutList, rejected: bool = False) -> None:
    """Records every photo with its hash; only files changed since the last run are read.

    Args:
        folder: The folder of people's folders.
        store: Gets the photos; knows from `scan_tables` what curation says of them.
        left_out: Gets everything else.
        rejected: Whether photos that curation rejected are noted too.
    """
    try:
        for number, entry in enumerate(list_files(folder)):
            if entry.reason:
                left_out.add(entry.name, entry.reason, "")
            else:
                _add(folder, entry, store, left_out, rejected)
            if number % _COMMIT == 0:
                store.commit()
    except OSError as error:
        raise BolidError(f"{folder}: cannot be listed ({error}).") from error
    store.commit()


def _add(folder: Path, entry: Entry, store: Store, left_out: LeftOutList, rejected: bool) -> None:
    if not entry.name.isprintable():
        left_out.add(entry.name, "unusable name", f"{entry.name!r} has characters that no manifest can hold; rename it")
        return
    try:
        path = resolve_inside(folder, entry.name)
        if not path.is_file():
            raise BolidError(f"{path}: no such photo.")
        stamp = stamp_of(path)
        said = {} if rejected else rejection(store, entry.name, stamp)
        if said:
            left_out.add(entry.name, f"{REJECTED}: {said['rejected']}", said["verdicts"][said["rejected"]])
            return
        store.add_file(entry.name, entry.person, stamp, store.known_hash(entry.name, stamp) or sha256(path))
    except BolidError as error:
        left_out.add(entry.name, "link outside" if "leads outside" in str(error) else UNREADABLE, str(error))
    except (OSError, ValueError) as error:
        left_out.add(entry.name, UNREADABLE, f"{entry.name}: {error}")


def rejection(store: Store, name: str, stamp: str) -> dict:
    """Curation's result of a rejected photo; empty for others, and for changed files."""
    known = store.known("curation", name)
    return known[1] if known and known[1]["rejected"] and stamp.startswith(known[1]["stamp"]) else {}


def scan_tables(folder: Path, store: Store, curation: Path | None = None) -> list[str]:
    """Records the content of manifests, curation, lists of collected photos and caption tables.

    Args:
        folder: The folder of people's folders.
        store: Gets it.
        curation: Folder of `.curation`, if not the data set's.

    Returns:
        What was wrong with them.
    """
    complaints: list[str] = []
    store.know("curation", _curation(curation or folder, complaints))
    store.know("manifest", _manifest(folder, complaints))
    store.know("collected", _collected(folder / COLLECTED, complaints))
    store.know("caption", _captions(folder, complaints))
    return complaints


def _manifest(folder: Path, complaints: list[str]) -> Iterator[tuple[str, str, object]]:
    if not any((folder / split / MANIFEST).is_file() for split in ("", *SPLITS)):
        return
    try:
        for rows in stream_manifest(folder):
            for row in rows:
                yield row.file_name, row.sha256, {name: getattr(row, name) for name in CARRIED}
    except BolidError as error:
        complaints.append(f"the manifest of before is not read: {error}")


def _curation(home: Path, complaints: list[str]) -> Iterator[tuple[str, str, object]]:
    try:
        for row in stream_verdicts(home):
            said = {"rejected": row.rejected, "verdicts": row.verdicts, "stamp": f"{row.size} {row.changed} "}
            yield row.file_name, row.sha256.hex(), said
    except BolidError as error:
        complaints.append(str(error))


def _collected(path: Path, complaints: list[str]) -> Iterator[tuple[str, str, object]]:
    if not path.is_file():
        return
    bad = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        while line := file.readline(1 << 20):
            try:
                row = json.loads(line)
                name, sha = row["file_name"], row.get("sha256") or ""
                texts = {"address": row.get("address"), "fetched": row.get("time"), "licence": row.get("licence")}
                value = {key: str(text)[:2000] for key, text in texts.items() if text}
                yield str(name), str(sha), value
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                bad += 1
    if bad:
        complaints.append(f"{path}: {bad} lines cannot be read")


def _captions(folder: Path, complaints: list[str]) -> Iterator[tuple[str, str, object]]:
    for path in _tables(folder):
        try:
            for name, text in table_rows(folder, path):
                yield name, "", {"text": text}
        except BolidError as error:
            complaints.append(str(error))


def _tables(folder: Path) -> Iterator[Path]:
    """`metadata.jsonl` and `metadata.csv` of the folder, of its splits and of people's folders."""
    for depth in ("", "*/", "*/*/"):
        for name in METADATA:
            for path in sorted(folder.glob(depth + name)):
                relative = path.relative_to(folder)
                if relative.parts[0][0] != "." and path.is_file():
                    try:
                        resolve_inside(folder, relative.as_posix())
                    except BolidError:
                        continue
                    yield path
