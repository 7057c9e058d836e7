"""Identities on disk: one `.safetensors` file per identity in a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity, check_values
from bolid.core.names import NAME, named
from bolid.core.safe_io import atomic_path, load_safetensors, safetensors_metadata

FORMAT_NAME = "bolid-identity-"
FORMAT = f"{FORMAT_NAME}2"
OLD_FORMAT, OLD_NAMES = f"{FORMAT_NAME}1", ("face", "body", "image")
MAX_BYTES = 1 << 20  # a file holds a few hundred numbers
FILE_NAME = re.compile(r"[^\W_][\w.-]{0,63}")


class IdentityFolder:
    """Identities by name, each a file `<name>.safetensors`.

    Args:
        folder: Folder of the files, created with the first one.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def path(self, name: str) -> Path:
        """The path of an identity's file, existing or not.

        Raises:
            BolidError: If the name is no valid file name, or would lead outside the folder.
        """
        if not FILE_NAME.fullmatch(name):
            raise BolidError(f"{name!r} is no name: up to 64 letters, digits, dots, - and _, a letter or digit first")
        return self.folder / f"{name}.safetensors"

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(p.stem for p in self.folder.glob("*.safetensors") if FILE_NAME.fullmatch(p.stem))

    def find(self, name: str) -> Path:
        """The file of that name.

        Raises:
            BolidError: If there is none.
        """
        path = self.path(name)
        if not path.is_file():
            known = ", ".join(self.names()) or "none"
            raise BolidError(f"{self.folder} knows no {name}; it knows {known} (see `bolid identity create --help`)")
        return path

    def load(self, name: str) -> Identity:
        """Loads an identity; see `find` and `load_identity` for errors."""
        return load_identity(self.find(name))

    def check_free(self, name: str, replace: bool) -> Path:
        """The path for a new identity.

        Raises:
            BolidError: If the name is taken and `replace` is False.
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
        """Deletes an identity's file and returns its path; see `find` for errors."""
        path = self.find(name)
        path.unlink()
        return path


def save_identity(identity: Identity, path: Path) -> None:
    """Writes an identity atomically: one tensor per embedding, and the fingerprints of their networks.

    Raises:
        BolidError: If an embedding's name is no valid condition name.
    """
    embeddings = named(identity, "identity")
    models = {name: embedding.model for name, embedding in embeddings.items()}
    values = {name: embedding.values.float().contiguous() for name, embedding in embeddings.items()}
    with atomic_path(path) as part:
        save_file(values, part, {"format": FORMAT, "models": json.dumps(models)})


def load_identity(path: str | Path) -> Identity:
    """Loads an identity that `save_identity` wrote, without unpickling; other files are refused.

    Files of the first format, with face, body and image only, are read, too.

    Raises:
        BolidError: If the file is missing or holds no identity.
    """
    path = Path(path)
    if not path.is_file():
        raise BolidError(f"{path}: no such identity file")
    if path.stat().st_size > MAX_BYTES:
        raise BolidError(f"{path}: {path.stat().st_size} bytes are too many for an identity file")
    metadata, values = safetensors_metadata(path), load_safetensors(path)
    models = _models(metadata, path)
    if models is None or not all(
        name in models and NAME.fullmatch(name) and _is_embedding(v) for name, v in values.items()
    ):
        raise BolidError(f"{path}: a safetensors file, but none that `bolid identity create` wrote")
    for name, value in values.items():
        check_values(value, f"{path}: {name}")
    return Identity({name: Embedding(values[name], models[name]) for name in models if name in values})


def _models(metadata: Mapping[str, str], path: Path) -> dict[str, str] | None:
    """Name -> SHA-256 of the network, for files of this format or the first; None for others."""
    found = metadata.get("format", "")
    if found == OLD_FORMAT:
        return {name: metadata.get(f"{name}_model", "") for name in OLD_NAMES}
    if found.startswith(FORMAT_NAME) and found != FORMAT:
        raise BolidError(f"{path} is of format {found}, and this version reads {FORMAT}: update BoLID")
    try:
        models = json.loads(metadata["models"]) if found == FORMAT else None
    except (ValueError, LookupError, RecursionError):
        return None
    usual = isinstance(models, dict) and all(isinstance(model, str) for model in models.values())
    return models if usual else None


def _is_embedding(tensor: Tensor) -> bool:
    return tensor.ndim == 1 and len(tensor) > 0 and tensor.dtype == torch.float32
