"""Targets that symbolic links of a data set may have: inside its folder, and where the user allows.

A permission is never read from the folder itself, which is untrusted: it is stored in the cache folder of this machine,
under a hash of the folder's path, and in `$BOLID_LINKS`, a list of folders like `$PATH`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from bolid.core.safe_io import write_text

VARIABLE = "BOLID_LINKS"


def allow_links(folder: Path, into: Path) -> None:
    """Stores the permission for links in a folder to lead into another."""
    place, known = _place(os.path.realpath(folder)), permitted(folder)
    target = os.path.realpath(into)
    if target not in known:
        write_text(place, "\n".join([*_remembered(place), target]) + "\n")


def permitted(folder: Path | str) -> list[str]:
    """The folders that links in a folder may lead into, as real paths."""
    given = [os.path.realpath(path) for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
    return given + _remembered(_place(os.path.realpath(folder)))


def may_follow(folder: Path | str, target: str) -> bool:
    """Whether a link in a folder may lead to a real path."""
    return any(os.path.commonpath([root, target]) == root for root in permitted(folder))


def _remembered(place: Path) -> list[str]:
    try:
        return [line for line in place.read_text().splitlines() if os.path.isabs(line)]
    except OSError:
        return []


def _place(root: str) -> Path:
    home = os.environ.get("BOLID_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "bolid")
    return Path(home) / "links" / hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
