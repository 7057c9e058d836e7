"""Identities on disk: one `.safetensors` file a person, in a folder, by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.identity import PARTS, Identity
from bolid.core.safe_io import atomic_path, load_safetensors, safetensors_metadata

FORMAT = "bolid-identity-1"
MAX_BYTES = 1 << 20  # a file holds some hundred numbers
NAME = re.compile(r"[^\W_][\w.-]{0,63}")


class IdentityFolder:
    """Identities by name, each a file `<name>.safetensors`.

    Args:
        folder: Is made when the first is saved.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """Where the identity of that name is, or would be.

        Raises:
            BolidError: If the name could lead elsewhere, or no file can have it.
        """
        if not NAME.fullmatch(name):
            raise BolidError(f"{name!r} is no name: up to 64 letters, digits, dots, - and _, a letter or digit first")
        return self.folder / f"{name}.safetensors"

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.safetensors") if NAME.fullmatch(p.stem))

    def find(self, name: str) -> Path:
        """The file of that name.

        Raises:
            BolidError: If there is none.
        """
        path = self.path(name)
        if not path.is_file():
            known = ", ".join(self.names()) or "nobody"
            raise BolidError(f"{self.folder} knows no {name}; it knows {known} (see `bolid identity create --help`)")
        return path

    def load(self, name: str) -> Identity:
        """Reads an identity; see `find` and `load_identity` for errors."""
        return load_identity(self.find(name))

    def check_free(self, name: str, replace: bool) -> Path:
        """Where the identity of that name will be.

        Raises:
            BolidError: If there is one of that name, which `replace` does not allow to be replaced.
        """
        path = self.path(name)
        if path.exists() and not replace:
            raise BolidError(f"{path} exists; choose another name, or replace it with `--replace true`")
        return path

    def save(self, name: str, identity: Identity, replace: bool = False) -> Path:
        """Writes an identity; see `check_free` for errors."""
        path = self.check_free(name, replace)
        save_identity(identity, path)
        return path

    def delete(self, name: str) -> Path:
        """Removes an identity and says where it was; see `find` for errors."""
        path = self.find(name)
        path.unlink()
        return path


def save_identity(identity: Identity, path: Path) -> None:
    """Writes what is known of a person, atomically."""
    parts = {part: getattr(identity, part) for part in PARTS}
    metadata = {"format": FORMAT} | {f"{part}_model": getattr(identity, f"{part}_model") for part in PARTS}
    with atomic_path(path) as part:
        save_file({k: v.float().contiguous() for k, v in parts.items() if v is not None}, part, metadata)


def load_identity(path: Path) -> Identity:
    """Reads what `save_identity` wrote; nothing is unpickled, and a file of anything else is refused.

    Raises:
        BolidError: If the file is missing or no identity.
    """
    if not path.is_file():
        raise BolidError(f"{path}: no such identity file")
    if path.stat().st_size > MAX_BYTES:
        raise BolidError(f"{path}: {path.stat().st_size} bytes are too many for an identity file")
    metadata, parts = safetensors_metadata(path), load_safetensors(path)
    if metadata.get("format") != FORMAT or not all(_is_embedding(k, v) for k, v in parts.items()):
        raise BolidError(f"{path}: a safetensors file, but none that `bolid identity create` wrote")
    known: dict[str, Any] = {**parts, **{f"{part}_model": metadata.get(f"{part}_model", "") for part in PARTS}}
    return Identity(**known)


def _is_embedding(name: str, tensor: Tensor) -> bool:
    usual = tensor.ndim == 1 and tensor.dtype == torch.float32
    return name in PARTS and usual and bool(tensor.isfinite().all())
