"""Reading files nobody vouches for, and writing files that are either whole or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from uuid import uuid4

from bolid.core.errors import BolidError

if TYPE_CHECKING:
    from PIL import Image
    from pyarrow.parquet import ParquetFile
    from torch import Tensor

MAX_PIXELS = 50_000_000  # of a photo in memory


class PictureError(BolidError):
    """A photo that cannot be used: missing, broken, truncated, huge, or not a picture. The message names it."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which becomes `path` if the block ends well and vanishes if it does not.

    The temporary name keeps the suffix, since Pillow and others take the format from it; missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_path(path: Path) -> Iterator[Path]:
    """As `atomic_path`, but what is there stays: the new file's name gets the next free number, as in `0-2.png`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, _reserved(path))
    finally:
        temporary.unlink(missing_ok=True)


def _reserved(path: Path) -> Path:
    """A new empty file of that name or the next free number, whoever else writes there."""
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    for free in names:
        with suppress(FileExistsError):
            free.touch(exist_ok=False)
            return free
    raise AssertionError("numbers do not end")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """As `atomic_path` for a folder: gives an empty one beside `path` that replaces all of `path` in the end."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = uuid4().hex[:8]
    temporary, old = (path.with_name(f".{path.name}.{mark}.{kind}") for kind in ("tmp", "old"))
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            os.rename(path, old)
        os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` so that a kill leaves the old file or the new one, never a half."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def check_relative(name: str, where: str) -> str:
    """Returns `name` if it can only lie below the folder it is relative to, judged by its text alone.

    Args:
        name: A path with forward slashes.
        where: What holds the name, for the message.

    Raises:
        BolidError: if it is empty, absolute, an address, climbs with `..`, or holds a backslash or a NUL.
    """
    path = PurePosixPath(name)
    foreign = "://" in name or "\\" in name or "\0" in name or name[1:2] == ":"  # a drive's letter
    if not path.parts or path.is_absolute() or ".." in path.parts or foreign:
        raise BolidError(f"{where}: the path {name!r} leads outside its folder; use a relative path inside it.")
    return name


def resolve_inside(folder: Path, name: str) -> Path:
    """Joins `folder` and `name`, and refuses what ends up outside `folder` once symbolic links are followed.

    Links may lead elsewhere where `bolid.core.links` says so.

    Raises:
        BolidError: if it does; whether the file exists is not looked at.
    """
    root, path = os.path.realpath(folder), Path(folder) / check_relative(name, str(folder))
    target = os.path.realpath(path)
    if os.path.commonpath([root, target]) != root:
        from bolid.core.links import VARIABLE, may_follow

        if not may_follow(root, target):
            raise BolidError(
                f"{folder}: {name!r} is a link that leads outside the folder; copy the file into it, or allow it by "
                f"`bolid data annotate --follow` or {VARIABLE}."
            )
    return path


def open_picture(path: Path, max_pixels: int | None = None) -> Image.Image:
    """The photo as the data set reads it: `bolid.core.photos.open_photo`, of at most `MAX_PIXELS` pixels."""
    from bolid.core.photos import open_photo

    return open_photo(path, max_pixels)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_parquet(path: Path) -> ParquetFile:
    """A Parquet file to be read some rows at a time. By default pyarrow fetches it whole beforehand, and keeps that.

    Raises:
        ArrowException, OSError: If it cannot be read.
    """
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, pre_buffer=False)


def safetensors_metadata(path: Path) -> dict[str, str]:
    """What a `.safetensors` file says of itself; raises as `load_safetensors`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise BolidError(f"{path}: not a readable safetensors file ({error}).") from error


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Reads a `.safetensors` file (nothing is ever unpickled) onto the CPU.

    Raises:
        BolidError: if it is missing or not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise BolidError(f"{path}: no such file; expected weights in the safetensors format.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BolidError(f"{path}: not a readable safetensors file ({error}).") from error
