"""Where model folders and the embedded bundle are."""

from __future__ import annotations

import os
from pathlib import Path

from bolid.core.errors import BolidError

BUNDLE = Path("data/tiny")


def resolve(path: str | Path) -> Path:
    """`path` itself; for the embedded bundle's `data/tiny/…` also beside the repository or under `$BOLID_TINY`."""
    path = Path(path)
    if path.exists() or not path.is_relative_to(BUNDLE):
        return path
    bundle = Path(os.environ.get("BOLID_TINY") or Path(__file__).parents[2] / BUNDLE)
    return bundle / path.relative_to(BUNDLE)


def find_folder(path: str | Path, member: str, remedy: str) -> Path:
    """The folder at `path`, which must hold the file `member`.

    Raises:
        BolidError: If it does not, with the remedy.
    """
    folder = resolve(path)
    if not (folder / member).is_file():
        raise BolidError(f"{folder} is missing or holds no {member}: {remedy}")
    return folder
