"""Access to the photos of a data set: files in its folder, or members of WebDataset shards.

A sharded set has its manifest next to `shard-000000.tar`, …: plain tar files of samples `KEY.json`, `KEY.jpg` (or
another suffix) and `KEY.mask.png`, where the JSON holds the `file_name` and the `silhouette` of the manifest. Shards
are untrusted: only regular files with plain names are accepted, and no name in them is used as a path.
"""

from __future__ import annotations

import json
import os
import tarfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, NamedTuple

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.safe_io import PictureError, check_relative, resolve_inside

SHARD = "shard-{:06d}.tar"
MAX_BYTES = 200_000_000  # of a photo in a shard
MAX_JSON = 1_000_000  # bytes
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_BLOCK = tarfile.BLOCKSIZE


class FolderPhotos:
    """Photos as files in a folder.

    Args:
        folder: The top folder of the photos.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """A photo's file; raises `BolidError` if the name leads outside the folder."""
        yield resolve_inside(self.folder, name)

    def stamp(self, name: str) -> str:
        """A stamp that changes with the photo, without reading its content."""
        return _stamp(self.folder / name)


class Member(NamedTuple):
    """A file in a shard: name, offset of its content, and size in bytes."""

    name: str
    offset: int
    size: int


class ShardPhotos:
    """Photos in shards, found by a compact index made from the shards' headers.

    Args:
        folder: Folder of the shards.
        paths: Paths of the shards.

    Raises:
        BolidError: If a shard is no plain tar file of samples.
    """

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder, self.paths = Path(folder), paths
        self._stamps = [_stamp(path) for path in paths]
        columns = array("Q"), array("Q"), array("Q"), array("Q")  # hash of the name, shard, offset, bytes
        for number, path in enumerate(paths):
            for name, member in _files(path):
                for column, value in zip(columns, (_hash(name), number, member.offset, member.size), strict=True):
                    column.append(value)
        names, *places = (np.frombuffer(column, np.uint64) if column else np.empty(0, np.uint64) for column in columns)
        order = np.argsort(names)
        self._names, self._places = names[order], np.stack(places, 1)[order]
        if (self._names[1:] == self._names[:-1]).any():
            raise BolidError(f"{folder}: a photo is in its shards twice.")

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Context with a temporary copy of a photo's file; raises `PictureError` if no shard has it."""
        place = self._find(name)
        if place is None:
            raise PictureError(f"{self.folder / name}: is in none of the {len(self.paths)} shards.")
        number, offset, size = place
        with NamedTemporaryFile(suffix=Path(name).suffix) as copy, open(self.paths[number], "rb") as shard:
            shard.seek(offset)
            copy.write(shard.read(size))
            copy.flush()
            yield Path(copy.name)

    def stamp(self, name: str) -> str:
        """A stamp that changes with the photo, without reading its content."""
        place = self._find(name)
        return "missing" if place is None else f"{self._stamps[place[0]]} {place[1:]}"

    def _find(self, name: str) -> tuple[int, int, int] | None:
        wanted = np.uint64(_hash(name))
        at = int(np.searchsorted(self._names, wanted))
        if at == len(self._names) or self._names[at] != wanted:
            return None
        number, offset, size = self._places[at].tolist()
        return number, offset, size


def photos_of(folder: Path) -> FolderPhotos | ShardPhotos:
    """The access to the photos of a folder with a manifest."""
    paths = [resolve_inside(folder, path.name) for path in sorted(Path(folder).glob("shard-*.tar")) if path.is_file()]
    return ShardPhotos(folder, paths) if paths else FolderPhotos(folder)


def _files(path: Path) -> Iterator[tuple[str, Member]]:
    """The photos and silhouettes of a shard, by their names in the manifest."""
    entry: tuple[str, dict] = ("", {})
    with open(path, "rb") as file:
        for member in _members(path, file):
            key, _, suffix = member.name.partition(".")
            if suffix == "json":
                entry = key, _read_entry(path, file, member)
            elif key != entry[0]:
                raise BolidError(f"{path}: {member.name!r} comes before its {key}.json.")
            else:
                name = entry[1].get("silhouette" if suffix.startswith("mask.") else "file_name")
                yield check_relative(str(name or ""), f"{path}: {key}.json"), member


def _members(path: Path, file: BinaryIO) -> Iterator[Member]:
    """Reads only headers. Refuses links, folders, sparse files, extended headers and archive bombs."""
    place, end = 0, os.fstat(file.fileno()).st_size
    while True:
        file.seek(place)
        block = file.read(_BLOCK)
        if not block or block == bytes(_BLOCK):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise BolidError(f"{path}: not a plain tar file ({error}).") from error
        if info.type not in _REGULAR or "/" in check_relative(info.name, str(path)):
            raise BolidError(f"{path}: {info.name!r} is no regular file with a plain name, as a shard's are.")
        start = place + _BLOCK
        if not 0 <= info.size <= min(MAX_BYTES, end - start):
            raise BolidError(
                f"{path}: {info.name!r} has {info.size} bytes by its header; the shard is truncated or forged."
            )
        yield Member(info.name, start, info.size)
        place = start + -(-info.size // _BLOCK) * _BLOCK


def _read_entry(path: Path, file: BinaryIO, member: Member) -> dict:
    try:
        if member.size > MAX_JSON:
            raise ValueError(f"{member.size} bytes are too many")
        file.seek(member.offset)
        entry = json.loads(file.read(member.size))
        if not isinstance(entry, dict):
            raise ValueError("no object")
    except (ValueError, RecursionError) as error:
        raise BolidError(f"{path}: {member.name!r} cannot be read ({error}).") from error
    return entry


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())


def _stamp(path: Path) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
