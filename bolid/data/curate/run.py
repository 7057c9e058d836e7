"""`bolid data curate`: runs the filters in order of cost, and writes their verdicts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.safe_io import write_text
from bolid.data.curate.config import Filters
from bolid.data.curate.filters import Copies, Filter, keeps
from bolid.data.curate.listing import list_photos
from bolid.data.curate.photos import Photos
from bolid.data.curate.store import CURATION
from bolid.data.curate.verdicts import Row, into_manifest, manifest_is_ours, write_verdicts
from bolid.data.curate.work import measure_photos

FEW = "person"  # in `rejected`: the photo is usable, but its person has too few
SUMMARY = "summary.json"
TRIES = 3  # maximum passes of the chain, to try other copies of rejected photos


@dataclass
class Curation:
    """Summary of a curation.

    Attributes:
        photos: Number of photos.
        kept: Number of kept photos.
        rejected: Number of rejected photos by the first filter that rejects them, in the filters' order.
        dropped: People with too few photos left, and their number.
        left_out: Number of files that are no photos, by kind.
        people: Number of kept people.
    """

    photos: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    people: int = 0

    def __str__(self) -> str:
        why = ", ".join(f"{name} {count}" for name, count in self.rejected.items() if count)
        lines = [
            f"{self.kept} of {self.photos} photos kept, of {self.people} people" + (f"; rejected: {why}" if why else "")
        ]
        lines += [
            f"most are rejected by {name}: if they are good ones, see --filters.{name} in configs/curate/default.yaml"
            for name, count in self.rejected.items()
            if 2 * count > self.photos and name != FEW
        ]
        lines += [f"left out: {count} {what}" for what, count in self.left_out.items()]
        if self.dropped:
            some = ", ".join(f"{name} ({count})" for name, count in list(self.dropped.items())[:20])
            lines.append(f"dropped {len(self.dropped)} people with too few photos left: {some}")
        return "\n".join(lines)


def curate(
    folder: Path,
    filters: Filters = Filters(),  # noqa: B008
    min_photos: int = 2,
    every: bool = False,
    workers: int = 1,
    out: Path | None = None,
    ray: str | None = None,
) -> str:
    """Decides for every photo of a folder whether it is usable, with a reason; deletes nothing.

    Photos lie at FOLDER/PERSON/PHOTO, or at FOLDER/SPLIT/PERSON/PHOTO. Measures are stored in FOLDER/.curation, so that
    a changed threshold runs no network again, and an interrupted run resumes. Verdicts go to
    FOLDER/.curation/verdicts.parquet, and into the manifest if there is one. `bolid fit` leaves out rejected photos.

    Args:
        folder: The folder of people's folders.
        filters: The chain: `--filters.size.shortest 800` changes a threshold, `--filters.copies null` leaves one
            out.
        min_photos: People with fewer photos left are dropped.
        every: Whether to run networks also on photos that a cheaper filter rejected.
        workers: Number of processes.
        out: Folder for `.curation`, if not the data set's.
        ray: Address of a Ray cluster whose machines reach FOLDER by the same path, and in which the processes are: its
            address, auto, or local to start one on this machine.

    Returns:
        A summary of kept photos, and of others by reason.

    Raises:
        BolidError: If the folder is missing, has no photo, cannot be written, or has metadata of another program.
    """
    return f"{folder}: {curate_photos(folder, filters, min_photos, every, workers, out, ray)}"


def curate_photos(
    folder: Path,
    filters: Filters,
    min_photos: int = 2,
    every: bool = False,
    workers: int = 1,
    out: Path | None = None,
    ray: str | None = None,
) -> Curation:
    """See `curate`; returns the counts."""
    folder = Path(folder)
    if workers < 1 or min_photos < 1:
        raise BolidError(f"workers={workers} and min_photos={min_photos} must both be 1 or more")
    home, ours = _home(folder, out)
    listing = list_photos(folder, home, workers)
    if not len(listing.photos):
        there = ", ".join(f"{count} {what}" for what, count in listing.left_out.items()) or "nothing"
        raise BolidError(f"{folder}: no photo at FOLDER/PERSON/PHOTO; there are {there}")
    photos = Photos(folder, home, listing.photos)
    chain = list(filters)
    rejected = ask(photos, chain, every, workers, ray)
    found = Curation(len(photos), left_out=dict(listing.left_out))
    dropped = _few(photos, rejected < 0, min_photos, found)
    write_verdicts(home, _rows(photos, chain, rejected, dropped, min_photos))
    if ours:
        into_manifest(folder, home)
    found.kept = int((rejected < 0).sum() - sum(found.dropped.values()))
    found.rejected = {f.name: int((rejected == k).sum()) for k, f in enumerate(chain)}
    found.rejected |= {FEW: sum(found.dropped.values())}
    found.people = len(np.unique(photos.people[rejected < 0])) - sum(count > 0 for count in found.dropped.values())
    _write_summary(home, found)
    return found


def ask(
    photos: Photos, chain: list[Filter], every: bool = False, workers: int = 1, ray: str | None = None
) -> np.ndarray:
    """(n,) int8: index of the first filter that rejects each photo, or -1.

    One of several copies is kept before later filters run. If one of these rejects it, another copy is tried.
    """
    copies = next((f for f in chain if isinstance(f, Copies)), None)
    for _ in range(TRIES):
        rejected = _ask(photos, chain, every, workers, ray)
        unfit = np.zeros_like(photos.unfit) if copies is None else (rejected > chain.index(copies)) & ~photos.unfit
        photos.unfit |= unfit
        if copies is None or not copies.chose(unfit):
            break
    return rejected


def _ask(photos: Photos, chain: list[Filter], every: bool, workers: int, ray: str | None) -> np.ndarray:
    rejected = np.full(len(photos), -1, np.int8)
    readable = np.ones(len(photos), bool)
    for number, filter in enumerate(chain):
        if measure := filter.measure():
            wanted = readable if every else rejected < 0
            measure_photos(photos, measure, np.flatnonzero(wanted), workers, ray)
        filter.survey(photos, rejected < 0)
        for k in np.flatnonzero(rejected < 0):
            if not keeps(filter.judge(photos, int(k))):
                rejected[k] = number
        if filter.name == "decodable":
            readable = rejected < 0
    return rejected


def _rows(photos: Photos, chain: list[Filter], rejected: np.ndarray, dropped: set[int], least: int) -> Iterator[Row]:
    left = Counter(photos.people[rejected < 0].tolist())
    for k in range(len(photos)):
        verdicts = {f.name: said for f in chain if (said := f.judge(photos, k))}
        first = chain[rejected[k]].name if rejected[k] >= 0 else ""
        person = int(photos.people[k])
        if person in dropped:
            verdicts[FEW] = f"few photos: {left[person]} < {least}"
            first = first or FEW
        yield Row(photos.name(k), photos.identity(k), first, verdicts, *photos.stamp(k), photos.content(k))


def _few(photos: Photos, kept: np.ndarray, least: int, found: Curation) -> set[int]:
    """People with too few photos left; adds their names and numbers to `found`."""
    people, first = np.unique(photos.people, return_index=True)
    left = Counter(photos.people[kept].tolist())
    few = {int(p): photos.identity(k) for p, k in zip(people, first, strict=True) if left[int(p)] < least}
    found.dropped = {name: left[person] for person, name in sorted(few.items(), key=lambda pair: pair[1])}
    return set(few)


def _home(folder: Path, out: Path | None) -> tuple[Path, bool]:
    """The folder of `.curation`, and whether verdicts go into the folder's manifest."""
    if not folder.is_dir():
        raise BolidError(f"{folder}: no such folder; give one that holds a folder of photos for each person.")
    if out is not None:
        return Path(out), False
    ours = manifest_is_ours(folder)
    if not os.access(folder, os.W_OK):
        raise BolidError(f"{folder} cannot be written: give `--out FOLDER` for what curation writes")
    return folder, ours


def _write_summary(home: Path, found: Curation) -> None:
    import json
    from dataclasses import asdict

    write_text(home / CURATION / SUMMARY, json.dumps(asdict(found), indent=2, ensure_ascii=False) + "\n")
