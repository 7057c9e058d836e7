"""Locations of model folders and the embedded bundle."""

from __future__ import annotations

import os
from pathlib import Path

from bolid.core.errors import BolidError

BUNDLE = Path("data/tiny")
VARIABLE = "BOLID_TINY"
PACKAGE = Path(__file__).parents[1]
PLACES = (BUNDLE, PACKAGE.parent / BUNDLE, PACKAGE / "tiny")  # working directory, repository, installed wheel


def resolve(path: str | Path) -> Path:
    """Resolves the embedded bundle's `data/tiny/…` to `$BOLID_TINY` or the first of `PLACES`; other paths are
    unchanged.

    Raises:
        BolidError: If `BOLID_TINY` names no folder.
    """
    path = Path(path)
    if not path.is_relative_to(BUNDLE):
        return path
    if given := os.environ.get(VARIABLE):
        bundle = Path(given)
        if not bundle.is_dir():
            raise BolidError(
                f"{VARIABLE}: no folder at {bundle}; set it to a bundle like the repository's {BUNDLE}, or unset it"
            )
        return bundle / path.relative_to(BUNDLE)
    found = [place / path.relative_to(BUNDLE) for place in PLACES]
    return next((place for place in found if place.exists()), found[1])


def portable(path: str) -> str:
    """A path for a card, valid from any folder: the absolute path of a file or folder.

    The embedded bundle's `data/tiny/…` and what is no existing path, such as a hub id, stay unchanged.
    """
    if Path(path).is_relative_to(BUNDLE) or not Path(path).exists():
        return path
    return str(Path(path).absolute())


def find_folder(path: str | Path, member: str, remedy: str) -> Path:
    """The folder at `path`, which must hold the file `member`.

    Raises:
        BolidError: If it does not; the message ends with `remedy`.
    """
    folder = resolve(path)
    if not (folder / member).is_file():
        raise BolidError(f"{folder} is missing or holds no {member}: {remedy}")
    return folder
