"""`bolid cache`: lists and removes BoLID's caches on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from bolid.core.errors import BolidError

Kind = Literal["networks", "copies", "annotations", "curation", "hub"]
COPY = "pictures.npy"  # in every folder of working copies
DEPTH = 4  # folders below those given in which data sets are looked for


class Kept(NamedTuple):
    """A cache: its kind, its path, and what removing it costs."""

    kind: str
    path: Path
    about: str

    @property
    def size(self) -> int:
        """Size in bytes."""
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(file.lstat().st_size for file in files if file.is_file())


def list_cache(folders: Sequence[Path] = (Path("."),)) -> str:
    """Lists the caches with their sizes in megabytes and what removing them costs.

    Args:
        folders: Folders searched for data sets, four levels deep.
    """
    sizes = [(kept, kept.size / 1e6) for kept in places(folders)]
    lines = [f"{kept.kind:12} {size:9.1f} MB  {kept.path}  ({kept.about})" for kept, size in sizes]
    total = sum(size for _, size in sizes)
    return "\n".join([*lines, f"{total:.1f} MB in {len(sizes)} places; `bolid cache clear KIND` removes one kind"])


def clear_cache(kinds: Sequence[Kind], folders: Sequence[Path] = (Path("."),)) -> str:
    """Removes the caches of the given kinds. All of them can be rebuilt; `bolid cache list` says at what cost.

    Args:
        kinds: networks, copies, annotations or curation. The hub's cache is removed by `hf cache rm`.
        folders: Folders searched for data sets, four levels deep.

    Raises:
        BolidError: If no kind is given, or the hub's.
    """
    if not kinds or "hub" in kinds:
        others = ", ".join(kind for kind in get_args(Kind) if kind != "hub")
        raise BolidError(f"give what to remove, of {others}; other programs use the hub's cache, too: `hf cache rm`")
    lines = []
    for kept in [kept for kept in places(folders) if kept.kind in kinds]:
        lines.append(f"removed {kept.path}: {kept.size / 1e6:.1f} MB")
        kept.path.unlink() if kept.path.is_file() else shutil.rmtree(kept.path)
    return "\n".join(lines or [f"nothing of {', '.join(kinds)} is kept in {', '.join(map(str, folders))}"])


def places(folders: Sequence[Path]) -> Iterator[Kept]:
    """All caches, with those of data sets below `folders`."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from bolid.data.annotate.store import FILE, FOLDER
    from bolid.data.curate.store import CURATION
    from bolid.vision.networks import NETWORKS, place

    for name in NETWORKS:  # not the folder, which holds what users imported, too
        if place(name).is_file():
            yield Kept("networks", place(name), f"`bolid networks get {name}` fetches and converts it again")
    for folder in dict.fromkeys(Path(folder).resolve() for folder in folders):
        for inside in _below(folder, DEPTH):
            if inside.parent.name == ".cache" and (inside / COPY).is_file():
                yield Kept("copies", inside, "the next fit makes them again, in minutes")
            elif inside.name == FOLDER and (inside / FILE).is_file():
                yield Kept("annotations", inside, "`bolid data annotate` would run all networks again")
            elif inside.name == CURATION and any(inside.glob("*.parquet")):
                yield Kept("curation", inside, "`bolid data curate` would measure all photos again")
    if Path(HF_HUB_CACHE).is_dir():
        yield Kept("hub", Path(HF_HUB_CACHE), "models from the hub, of other programs, too")


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """Folders in a folder, and in those; links are not followed."""
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:  # another user's folder, which holds no cache of ours
        return
    for path in inside:
        yield path
        if depth > 1:
            yield from _below(path, depth - 1)
