"""Who is in which split: folders decide, else a hash of the identity."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.schema import SPLITS, ImageRecord
from bolid.data.manifest import split_of


def split_records(records: Sequence[ImageRecord], folder: Path) -> dict[str, list[ImageRecord]]:
    """Records by split: the folders decide if any photo lies in one, else a hash of the identity.

    Raises:
        BolidError: if an identity is in two splits, only some photos lie in a split's folder, or it is not known which
            rendered photos are of one scene.
    """
    _check_scenes(records, folder)
    by_folder = any(split_of(r.file_name) for r in records)
    splits: dict[str, list[ImageRecord]] = {split: [] for split in SPLITS}
    home: dict[str, str] = {}
    for record in records:
        split = split_of(record.file_name) if by_folder else hashed_split(record.identity)
        if split is None:
            raise BolidError(f"{folder}: {record.file_name!r} lies in none of train/, val/ and test/, as others do.")
        if home.setdefault(record.identity, split) != split:
            raise BolidError(f"{folder}: {record.identity!r} is in {home[record.identity]} and in {split}; keep one.")
        splits[split].append(record)
    return splits


def _check_scenes(records: Sequence[ImageRecord], folder: Path) -> None:
    """A rendered photo in another outfit would be taken for a reference of the same scene."""
    if any(r.renderer and not r.scene for r in records):
        raise BolidError(
            f"{folder}: its manifest is of an older format, and does not say which of the rendered photos are of one "
            "scene: write it anew by `bolid data render` with the options of then (finished photos are kept), or set "
            "data.class_path to bolid.synthetic.datamodule.RenderedPeople."
        )


def hashed_split(identity: str) -> str:
    """train, val or test for 80, 10 and 10 % of all names, the same on every machine and whoever else is there."""
    value = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") / 2**32
    return "train" if value < 0.8 else "val" if value < 0.9 else "test"
