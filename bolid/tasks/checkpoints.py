"""Checkpoints: written atomically, read without unpickling, with the version of their format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_warn

from bolid.core.errors import BolidError

FORMAT, VERSION = "bolid_format", 2  # checkpoints of version 1 lack the entry and hold the same weights
OF_FITS = ("pytorch-lightning_version", "global_step", "epoch", "loops", "optimizer_states")
SETTINGS = ("hyper_parameters", "datamodule_hyper_parameters")
BROKEN = (UnpicklingError, RuntimeError, LookupError, TypeError, ValueError, EOFError, OSError)
PART = ".*.tmp"  # left behind by a process killed while writing


class Damaged(BolidError):
    """A file that is damaged or no checkpoint."""


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes next to the target and renames; Lightning's own copies across disks, which is not atomic."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Writes a checkpoint.

        Raises:
            BolidError: If the disk is full or the folder cannot be written; the former file at `path` is kept.
        """
        path = Path(path)
        part = path.with_name(f".{uuid4().hex}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(part, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except (OSError, RuntimeError) as error:
            raise BolidError(f"{path}: the checkpoint cannot be written ({error}); earlier ones are whole") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a checkpoint; see `find_checkpoint` and `read_checkpoint`."""
        return read_checkpoint(find_checkpoint(Path(path), "ckpt_path"), "ckpt_path", mapped=False)


def read_checkpoint(path: Path, setting: str, mapped: bool = True) -> dict[str, Any]:
    """Reads a fit's checkpoint without its `hyper_parameters`, since only the configuration decides what runs.

    Args:
        path: Path of the checkpoint.
        setting: Setting that gave the path, for error messages.
        mapped: Whether to memory-map the tensors.

    Raises:
        BolidError: If there is no such file, it is no checkpoint or damaged, or it is of a newer format.
    """
    if not path.is_file():
        raise BolidError(f"{setting}: no checkpoint at {path}; give a .ckpt file that `bolid fit` wrote")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)  # runs no pickled code
    except BROKEN as error:
        what = "is empty" if not path.stat().st_size else "is no checkpoint that `bolid fit` wrote, or a part of one"
        raise Damaged(f"{setting}: {path} {what}") from error
    if not isinstance(found, dict) or not isinstance(found.get("state_dict"), Mapping):
        raise Damaged(f"{setting}: {path} is no checkpoint that `bolid fit` wrote")
    with ZipFile(path) as archive:  # torch writes CRC sums but does not check them on reading
        if broken := archive.testzip():
            raise Damaged(f"{setting}: {path} is damaged (in {broken})")
    check_format(found, f"{setting}: {path}")
    return {key: value for key, value in found.items() if key not in SETTINGS}


def check_format(checkpoint: Mapping[str, Any], where: str) -> None:
    """Refuses a checkpoint of a later format.

    Raises:
        BolidError: If it is one.
    """
    found = checkpoint.get(FORMAT, 1)
    if not isinstance(found, int) or not 1 <= found <= VERSION:
        raise BolidError(f"{where} has format {found!r}, and this BoLID reads 1 to {VERSION}: update BoLID")


def find_checkpoint(path: Path, setting: str) -> Path:
    """The path of a fit's checkpoint: `path`, or the newest intact one next to it if `path` is a damaged `last.ckpt`.

    Raises:
        BolidError: See `read_checkpoint`; also if it holds weights only.
    """
    try:
        return _checked(path, setting)
    except Damaged as error:
        good = next((other for other in _newest_first(path) if _is_good(other)), None)
        if good is None:
            raise
        if not path.stem.startswith("last"):
            raise BolidError(f"{error}; {good} beside it is whole") from error
        rank_zero_warn(f"{error}; {good} beside it is whole and taken in its place")
        return good


def _checked(path: Path, setting: str) -> Path:
    if set(OF_FITS) - read_checkpoint(path, setting).keys():
        raise Damaged(f"{setting}: {path} holds weights, but no checkpoint that `bolid fit` wrote")
    return path


def _newest_first(path: Path) -> list[Path]:
    others = [other for other in path.parent.glob("*.ckpt") if other != path and other.is_file()]
    return sorted(others, key=lambda other: other.stat().st_mtime, reverse=True)


def _is_good(path: Path) -> bool:
    try:
        return bool(_checked(path, ""))
    except BolidError:
        return False
