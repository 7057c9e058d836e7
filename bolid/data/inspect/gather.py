"""Gathers the content of a data set's page: counts, and example photos of each kind."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bolid.core.errors import BolidError
from bolid.core.photos import photo_size
from bolid.core.safe_io import PictureError, resolve_inside
from bolid.core.schema import SPLITS, ImageRecord
from bolid.data.annotate.listing import BELOW, BESIDE, OTHER
from bolid.data.annotate.scan import REJECTED
from bolid.data.annotate.store import FOLDER
from bolid.data.annotate.summary import LEFT_OUT
from bolid.data.curate.verdicts import stream_verdicts
from bolid.data.manifest import MANIFEST, stream_manifest

SIZES = (500, 1000, 1500, 2000, 3000)  # pixels of the shorter side, between which photos are counted


class Example(NamedTuple):
    """An example photo: its name, and the text below it."""

    file_name: str
    text: str


@dataclass
class Gathered:
    """Statistics of a data set.

    Attributes:
        photos: Number of photos, of which `kept` are kept.
        rejected: Number of rejected photos by the first filter that rejects them.
        people: Photos that are kept, by person; `people_all` all of them.
        counts: Title -> category -> number of kept photos.
        kept_examples: A few kept photos of each person.
        rejected_examples: A few photos of each filter that rejects.
    """

    photos: int = 0
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    people_all: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    kept_examples: dict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))
    rejected_examples: dict[str, list[Example]] = field(default_factory=lambda: defaultdict(list))


def gather(folder: Path, home: Path, each: int, people: int) -> Gathered:
    """Reads the manifest, the results of curation, or both.

    Args:
        folder: Folder of the photos.
        home: Folder of `.curation`.
        each: Number of example photos per person and filter.
        people: Number of people with examples.

    Raises:
        BolidError: If there is neither.
    """
    found = Gathered()
    for name, identity, rejected, reason, record in _rows(folder, home):
        found.photos += 1
        found.people_all[identity] += 1
        if rejected:
            found.rejected[rejected] += 1
            if len(found.rejected_examples[rejected]) < each:
                found.rejected_examples[rejected].append(Example(name, reason))
            continue
        found.kept += 1
        found.people[identity] += 1
        shown = identity in found.kept_examples or len(found.kept_examples) < people
        if shown and len(found.kept_examples[identity]) < each:
            found.kept_examples[identity].append(Example(name, record.caption if record else ""))
        _count(found, folder, name, record)
    if not found.photos:
        raise BolidError(
            f"{folder}: neither a manifest nor verdicts here: run `bolid data curate {folder}` or `bolid data annotate`"
        )
    return found


def _rows(folder: Path, home: Path) -> Iterator[tuple[str, str, str, str, ImageRecord | None]]:
    """Yields file name, identity, the rejecting filter, its reason, and the manifest's row, if any.

    Photos that curation rejected, or that annotation left out, are not in the manifest.
    """
    seen: set[int] = set()
    annotated = any((folder / split / MANIFEST).is_file() for split in ("", *SPLITS))
    for records in stream_manifest(folder) if annotated else ():
        for r in records:
            seen.add(hash(r.file_name))
            yield r.file_name, r.identity, r.rejected, r.verdicts.get(r.rejected, r.rejected), r
    for name, kind, why in _left_out(folder) if annotated else ():
        if hash(name) not in seen:
            seen.add(hash(name))
            yield name, name.split("/")[-2], f"annotate: {kind}", why, None
    for name, identity, rejected, verdicts, *_ in stream_verdicts(home):
        if hash(name) not in seen:
            rejected = rejected or ("not annotated yet" if annotated else "")
            yield name, identity, rejected, verdicts.get(rejected, rejected), None


def _left_out(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Photos that annotation left out: name, kind and reason; those rejected by curation come from its table."""
    path = folder / FOLDER / LEFT_OUT
    if not path.is_file():
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        while line := file.readline(1 << 20):
            try:
                row = json.loads(line)
                name, kind, why = str(row["file_name"]), str(row["kind"]), str(row["why"])
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise BolidError(f"{path}: broken; run `bolid data annotate {folder}` anew ({error})") from error
            if "/" in name and kind not in (BESIDE, BELOW, OTHER) and not kind.startswith(REJECTED):
                yield name, kind, why


def _count(found: Gathered, folder: Path, name: str, record: ImageRecord | None) -> None:
    found.counts["Shorter side"][_size(folder, name)] += 1
    if record is None:
        return
    found.counts["Face"]["embedded" if record.face_embedding is not None else "none"] += 1
    seen = int((record.keypoints[:, 2] > 0).sum())
    found.counts["Keypoints seen"][f"{seen:2d} of 17"] += 1
    found.counts["Framing"][framing(record)] += 1
    found.counts["View"][view(record)] += 1
    found.counts["Caption"]["of words" if len(record.caption.split()) > 5 else "none"] += 1
    for kind, value in record.attributes.items():
        found.counts[kind.title()][value] += 1


def _size(folder: Path, name: str) -> str:
    try:
        short = min(photo_size(resolve_inside(folder, name)))
    except (PictureError, BolidError):
        return "cannot be read"
    below = next((limit for limit in SIZES if short < limit), None)
    return f"below {below:5d} pixels" if below else f"from  {SIZES[-1]:5d} pixels"


def framing(record: ImageRecord) -> str:
    """The framing of a photo by its visible keypoints."""
    seen = record.keypoints[:, 2] > 0
    parts = [("whole figure", seen[15:17]), ("to the knees", seen[13:15]), ("to the hips", seen[11:13])]
    return next((name for name, points in parts if points.any()), "bust" if seen[5:7].any() else "head or little")


def view(record: ImageRecord) -> str:
    """The view of the person by visible nose, eyes and ears."""
    nose, left_eye, right_eye, left_ear, right_ear = record.keypoints[:5, 2] > 0
    if not nose and not (left_eye or right_eye):
        return "from behind, or no head"
    if left_ear == right_ear:
        return "from the front"
    return "from the side" if left_eye != right_eye else "half from the side"
