"""Lists a folder of people's folders: photos by person, and other files by kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bolid.core.photos import SUFFIXES
from bolid.core.schema import SPLITS

# Photos that no library here decodes; they are counted as such, not as files of another kind.
UNREADABLE = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".psd", ".jxl", ".eps", ".svg", ".xcf")
CAPTIONS = (".txt", ".caption")
METADATA = ("metadata.jsonl", "metadata.csv")
OWN = ("metadata.parquet", "collected.jsonl", *METADATA)  # ours, or read for what they say of photos
MASKS = "masks"  # of silhouettes, beside the splits of rendered folders
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
BESIDE, BELOW, FORMAT, OTHER = (
    "beside the people's folders",
    "below a person's folder",
    "unreadable format",
    "other file",
)


class Entry(NamedTuple):
    """A file of the folder.

    Attributes:
        name: Path relative to the folder, with forward slashes.
        person: Name of the person's folder; empty outside of them.
        reason: Why it is not a photo to annotate (`BESIDE`, `BELOW`, `FORMAT`, `OTHER`); empty of one that is.
    """

    name: str
    person: str
    reason: str = ""


def list_files(folder: Path) -> Iterator[Entry]:
    """Every file, sorted by person's folder; hidden ones, captions and tables apart.

    Raises:
        OSError: If the top folder cannot be listed.
    """
    for top in sorted(os.listdir(folder)):
        path = folder / top
        if top.startswith(".") or top in OWN:
            continue
        if not path.is_dir():
            yield from _classified(folder, top, "", BESIDE)
        elif top in SPLITS:
            yield from _split(folder, top)
        elif top != MASKS:
            yield from _person(folder, top)


def _split(folder: Path, split: str) -> Iterator[Entry]:
    for name in _names(folder / split):
        path = f"{split}/{name}"
        if (folder / path).is_dir():
            yield from _person(folder, path)
        else:
            yield from _classified(folder, path, "", BESIDE)


def _person(folder: Path, place: str) -> Iterator[Entry]:
    person = place.rpartition("/")[2]
    for name in _names(folder / place):
        path = f"{place}/{name}"
        if (folder / path).is_dir():
            yield from _below(folder, path, person)
        else:
            yield from _classified(folder, path, person, "")


def _below(folder: Path, place: str, person: str) -> Iterator[Entry]:
    for top, folders, names in os.walk(folder / place):  # links to folders are not followed
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            inner = os.path.relpath(os.path.join(top, name), folder).replace(os.sep, "/")
            yield from _classified(folder, inner, person, BELOW)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name[0] != ".")
    except OSError:
        return []  # the run counts what it sees; a folder without permission shows nothing


def _classified(folder: Path, name: str, person: str, reason: str) -> Iterator[Entry]:
    base, suffix = name.rpartition("/")[2], os.path.splitext(name)[1].lower()
    if base[0] == "." or base in OWN or (suffix in CAPTIONS and not reason):
        return
    if suffix in SUFFIXES or _looks_like_a_photo(folder / name, suffix):
        yield Entry(name, person, reason)
    elif suffix in UNREADABLE:
        yield Entry(name, person, FORMAT)
    else:
        yield Entry(name, person, OTHER)


def _looks_like_a_photo(path: Path, suffix: str) -> bool:
    """Whether a file of another suffix, or none, begins as a photo does."""
    if suffix in UNREADABLE or suffix in CAPTIONS:
        return False
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            start = file.read(12)
    except (OSError, ValueError):
        return False
    return start.startswith(_SIGNATURES) or start[8:12] == b"WEBP" or start[4:8] == b"ftyp"
