"""Links photos of unchanged data sets into another folder, which gets all output."""

from __future__ import annotations

import os
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.links import allow_links
from bolid.core.schema import SPLITS
from bolid.data.annotate.listing import MASKS
from bolid.data.manifest import MANIFEST


def linked(folder: Path, out: Path | None, follow: Path | None) -> Path:
    """The folder to work in: `folder`, or `out` with links to all that `folder` holds.

    Args:
        folder: With the photos.
        out: In its place, if given; made if it is not there.
        follow: Folder that links may lead into, if any.

    Raises:
        BolidError: If there is no such folder, or `out` lies inside or holds files of another data set.
    """
    if not folder.is_dir():
        raise BolidError(f"{folder}: no such folder; give one that holds a folder of photos for each person.")
    if follow is not None:
        if not Path(follow).is_dir():
            raise BolidError(f"follow: there is no folder at {follow}")
        allow_links(out or folder, Path(follow))
    if out is None:
        if not os.access(folder, os.W_OK):
            raise BolidError(f"{folder}: may not be written to; give another folder by --out")
        return folder
    out = Path(out)
    if out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents:
        raise BolidError(f"out: {out} lies in {folder}; give a folder outside of it")
    out.mkdir(parents=True, exist_ok=True)
    for name in os.listdir(folder):
        if name in SPLITS and (folder / name).is_dir():
            (out / name).mkdir(exist_ok=True)
            for inner in os.listdir(folder / name):
                _link(folder / name / inner, out / name / inner)
        else:
            _link(folder / name, out / name)
    allow_links(out, folder)
    return out


def _link(source: Path, target: Path) -> None:
    if source.name == MANIFEST or source.name.startswith(".") or source.name == MASKS:
        return
    wanted = os.path.realpath(source)
    if target.is_symlink() and os.path.realpath(target) == wanted:
        return
    if os.path.lexists(target):
        raise BolidError(f"out: {target} is there and is no link to {source}; give an empty folder")
    target.symlink_to(wanted)
