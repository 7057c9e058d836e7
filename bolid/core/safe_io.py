"""Safe reading of untrusted files, and atomic writing."""

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

MAX_PIXELS = 50_000_000  # of a decoded photo


class PictureError(BolidError):
    """A photo that is missing, broken, truncated, too large or not an image. The message names it."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Context with a temporary path that is renamed to `path` if the block succeeds, and removed if it fails.

    The temporary name keeps the suffix, by which Pillow chooses the format; missing folders are created.
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
    """Like `atomic_path`, but keeps an existing file: the new name gets the next free number, as in `0-2.png`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex[:8]}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, _reserved(path))
    finally:
        temporary.unlink(missing_ok=True)


def _reserved(path: Path) -> Path:
    """Reserves a new empty file of that name or with the next free number, safe against concurrent writers."""
    names = chain([path], (path.with_stem(f"{path.stem}-{number}") for number in count(2)))
    for free in names:
        with suppress(FileExistsError):
            free.touch(exist_ok=False)
            return free
    raise AssertionError("numbers do not end")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Like `atomic_path` for a folder: a new empty folder that replaces `path` if the block succeeds."""
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
    """Writes `data` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def check_relative(name: str, where: str) -> str:
    """Returns `name` if, by its text alone, it stays inside the folder that it is relative to.

    Args:
        name: A path with forward slashes.
        where: File that holds the name, for the message.

    Raises:
        BolidError: If it is empty, absolute, a URL, contains `..`, a backslash or a NUL.
    """
    path = PurePosixPath(name)
    foreign = "://" in name or "\\" in name or "\0" in name or name[1:2] == ":"  # a drive letter
    if not path.parts or path.is_absolute() or ".." in path.parts or foreign:
        raise BolidError(f"{where}: the path {name!r} leads outside its folder; use a relative path inside it.")
    return name


def resolve_inside(folder: Path, name: str) -> Path:
    """Joins `folder` and `name`, and refuses paths outside `folder` after following symbolic links.

    Links may lead outside where `bolid.core.links` permits.

    Raises:
        BolidError: If it leads outside; the file need not exist.
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
    """Opens a photo by `bolid.core.photos.open_photo`, reduced to at most `MAX_PIXELS` pixels."""
    from bolid.core.photos import open_photo

    return open_photo(path, max_pixels)


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_parquet(path: Path) -> ParquetFile:
    """Opens a Parquet file for reading in batches, without pyarrow's default of buffering the whole file.

    Raises:
        ArrowException, OSError: If it cannot be read.
    """
    from pyarrow.parquet import ParquetFile

    return ParquetFile(path, pre_buffer=False)


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The metadata of a `.safetensors` file; raises as `load_safetensors`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise BolidError(f"{path}: not a readable safetensors file ({error}).") from error


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Loads a `.safetensors` file (no unpickling) onto the CPU.

    Raises:
        BolidError: If it is missing or not a safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise BolidError(f"{path}: no such file; expected weights in the safetensors format.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BolidError(f"{path}: not a readable safetensors file ({error}).") from error
