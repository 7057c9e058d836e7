"""What of planted faults is caught, and what of good photos lost: the counts and tables of `benchmarks/curate.py`."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from benchmarks.faults import KINDS, OWN
from bolid.data.curate.filters import KEPT, keeps


class Judged(NamedTuple):
    """A photo of a set after curation.

    Attributes:
        kind: "good" or one of `KINDS`.
        of: Of a near copy, what it is a copy of.
        rejected: The filter that rejects it; "" if it is kept.
        verdicts: Filter -> what it says.
    """

    kind: str
    of: str
    rejected: str
    verdicts: dict[str, str]

    def by(self, name: str) -> bool:
        """Whether this filter rejects it."""
        return not keeps(self.verdicts.get(name, KEPT))


Photos = dict[str, Judged]  # by "SET: FILE NAME", where SET has faults of one kind


class Score(NamedTuple):
    """What curation came to.

    Attributes:
        caught: Kind -> of each planted fault, whether it was rejected.
        lost: Good photos that were rejected in any of the sets.
        good: How many good ones there are.
    """

    caught: dict[str, list[bool]]
    lost: list[str]
    good: int

    @property
    def share(self) -> float:
        """Of all faults that were caught."""
        every = [hit for hits in self.caught.values() for hit in hits]
        return sum(every) / len(every)

    @property
    def least(self) -> str:
        """The kind that is caught least, with its share."""
        kind = min(self.caught, key=lambda k: sum(self.caught[k]) / len(self.caught[k]))
        return f"{kind} {sum(self.caught[kind]) / len(self.caught[kind]):.3f}"


def score(photos: Photos) -> Score:
    """Counts. Of a copy, it or its original must be rejected; a good photo of which a copy is kept is not lost."""
    kept_of = {p.of for p in photos.values() if p.of and not p.rejected}
    caught = {kind: [hit(photos, p) for p in photos.values() if p.kind == kind] for kind in KINDS}
    good = {name for name, p in photos.items() if p.kind == "good"}
    lost = {name.partition(": ")[2] for name in good if photos[name].rejected and name not in kept_of}
    every = {name.partition(": ")[2] for name in good}
    return Score({kind: hits for kind, hits in caught.items() if hits}, sorted(lost), len(every))


def hit(photos: Photos, photo: Judged, by: str = "") -> bool:
    """Whether a fault is rejected, or what it is a copy of: by this filter, or at all."""
    both = [photo, *([photos[photo.of]] if photo.of else [])]
    return any(p.by(by) if by else bool(p.rejected) for p in both)


def show(photos: Photos, what: str) -> Score:
    """Prints the tables of a set and returns its score."""
    found = score(photos)
    print(f"\n{what}\n\n| planted | photos | caught | by its own filter |\n|---|---|---|---|")
    for kind, hits in found.caught.items():
        own = [hit(photos, p, OWN[kind]) for p in photos.values() if p.kind == kind]
        print(f"| {kind} | {len(hits)} | {sum(hits) / len(hits):.3f} | {sum(own) / len(own):.3f} |")
    _filters(photos, set(found.lost))
    for name, p in photos.items():
        if p.kind == "good" and p.rejected and name.partition(": ")[2] in found.lost:
            print(f"lost: {name}: {p.verdicts[p.rejected]}")
        elif p.kind != "good" and not hit(photos, p):
            print(f"missed: {name}: {p.verdicts}")
    why = dict(Counter(p.rejected for n, p in photos.items() if n.partition(": ")[2] in found.lost and p.rejected))
    print(
        f"caught {found.share:.3f} in all, least of {found.least}; lost {len(found.lost)} of {found.good} {why or ''}"
    )
    return found


def _filters(photos: Photos, lost: set[str]) -> None:
    """Precision: of what a filter rejects first, how much has a fault. Recall: of its own kinds, what it rejects."""
    print("\n| filter | rejects | precision | recall |\n|---|---|---|---|")
    for name in dict.fromkeys(name for p in photos.values() for name in p.verdicts):
        rejected = {(p.kind, n.partition(": ")[2]) for n, p in photos.items() if p.rejected == name}
        wrong = {n for kind, n in rejected if kind == "good" and n in lost}
        copied = {n for kind, n in rejected if kind == "good"} - wrong
        right = len(rejected) - len(wrong) - len(copied)
        own = [hit(photos, p, name) for p in photos.values() if OWN.get(p.kind) == name]
        precision = f"{right / (right + len(wrong)):.3f}" if right or wrong else "-"
        print(f"| {name} | {right + len(wrong)} | {precision} | {f'{sum(own) / len(own):.3f}' if own else '-'} |")
    print()
