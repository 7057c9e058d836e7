"""Assigns identities to splits by folders, else by a hash of the identity."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.schema import SPLITS, ImageRecord
from bolid.data.manifest import split_of

log = logging.getLogger(__name__)
_NAMED = 10  # photos


def split_records(records: Sequence[ImageRecord], folder: Path) -> dict[str, list[ImageRecord]]:
    """Records by split: by folders if any photo is in one, else by a hash of the identity.

    Raises:
        BolidError: If an identity is in two splits, only some photos are in a split's folder, or scenes of rendered
            photos are unknown.
    """
    _check_scenes(records, folder)
    by_folder = in_folders(records)
    hashed = {} if by_folder else hashed_splits(Counter(r.identity for r in records))
    splits: dict[str, list[ImageRecord]] = {split: [] for split in SPLITS}
    home: dict[str, str] = {}
    for record in records:
        split = split_of(record.file_name) if by_folder else hashed[record.identity]
        if split is None:
            raise BolidError(f"{folder}: {record.file_name!r} lies in none of train/, val/ and test/, as others do.")
        if home.setdefault(record.identity, split) != split:
            raise BolidError(f"{folder}: {record.identity!r} is in {home[record.identity]} and in {split}; keep one.")
        splits[split].append(record)
    return splits


def leave_out_copies(records: Sequence[ImageRecord], folder: Path) -> list[ImageRecord]:
    """The records without duplicate photos, by their hashes.

    A copy would be its own reference, and a photo listed for two people may be in training and test: of one person's
    copies the first is kept, of several people's none. Rendered photos are known to differ.
    """
    owners: dict[str, set[str]] = {}
    for record in records:
        if record.sha256 and not record.renderer:
            owners.setdefault(record.sha256, set()).add(record.identity)
    seen: set[str] = set()
    kept, copies, shared = [], [], []
    for record in records:
        people = owners.get(record.sha256, set())
        if len(people) > 1:
            shared.append(record.file_name)
        elif people and record.sha256 in seen:
            copies.append(record.file_name)
        else:
            kept.append(record)
            seen.add(record.sha256)
    for names, what in ((copies, "copies of another photo of the person"), (shared, "photos under several people")):
        if names:
            more = ", …" if len(names) > _NAMED else ""
            log.warning("%s: %s %s are left out: %s%s", folder, len(names), what, ", ".join(names[:_NAMED]), more)
    return kept


def _check_scenes(records: Sequence[ImageRecord], folder: Path) -> None:
    """Refuses old rendered sets without scenes, in which a photo could be a reference of its own scene."""
    if any(r.renderer and not r.scene for r in records):
        raise BolidError(
            f"{folder}: its manifest is of an older format, and does not say which of the rendered photos are of one "
            "scene: write it anew by `bolid data render` with the options of then (finished photos are kept), or set "
            "data.class_path to bolid.synthetic.datamodule.RenderedPeople."
        )


def in_folders(records: Sequence[ImageRecord]) -> bool:
    """Whether folders define the splits."""
    return any(split_of(r.file_name) for r in records)


def hashed_splits(photos: Mapping[str, int]) -> dict[str, str]:
    """train, val or test for about 80, 10 and 10 % of the identities, the same on every machine.

    Identities are sorted by a hash of their names; the last ones are for tests, those before them for validation. With
    six people or more every split gets at least two; with four or five there is no validation split, and fewer are all
    for training. The split of an identity depends on others only if some split would have fewer than two.

    Args:
        photos: Number of photos per identity; those with a single photo are not counted, unless there are no others.
    """
    counted = [i for i, count in photos.items() if count > 1] or list(photos)
    order = sorted(counted, key=lambda i: (_hash(i), i), reverse=True)
    tests = _number(order, 0.9, min(2, len(order) - 2) if len(order) < 6 else len(order) - 4)
    checks = _number(order[tests:], 0.8, len(order) - tests - 2)
    found = dict.fromkeys(order, "train") | dict.fromkeys(order[:tests], "test")
    found |= dict.fromkeys(order[tests : tests + checks], "val")
    return {identity: found.get(identity) or hashed_split(identity) for identity in photos}


def _number(order: Sequence[str], start: float, limit: int) -> int:
    """Number of identities in the split that starts at a hash: at least two, or none if that exceeds `limit`."""
    number = max(2, sum(_hash(identity) >= start for identity in order))
    return min(number, limit) if limit >= 2 else 0


def hashed_split(identity: str) -> str:
    """The split of one identity in a large set."""
    value = _hash(identity)
    return "train" if value < 0.8 else "val" if value < 0.9 else "test"


def _hash(identity: str) -> float:
    """A pseudorandom number in 0..1."""
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") / 2**32
