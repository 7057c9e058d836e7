"""From which cosine two faces are one person's: `python -m benchmarks.curate_alike FOLDER`, after `bolid data curate`.

Of each readable face of a curated folder of people's folders: its mean cosine with the other faces of its person, and
with those of every other person. A threshold midway between the lowest tenth of a per cent of the first and the highest
of the second is taken from all people but one and tried on that one, each in turn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bolid.data.curate.config import Filters
from bolid.data.curate.filters import Identity, People
from bolid.data.curate.listing import list_photos
from bolid.data.curate.photos import Photos

RARE = 0.1  # per cent


def readable(folder: Path, home: Path, people: People, identity: Identity) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (n, F) of length 1 of the faces that the filter compares, and whose they are, (n,)."""
    photos = Photos(folder, home, list_photos(folder, home).photos)
    photos.store(people.measure())
    photos.refresh(people.measure())
    known = np.flatnonzero(photos.measured("people"))
    faces = photos.vectors("people", "face", known)
    legible = identity.legible(photos)
    rows = np.array([k for k in sorted(faces) if legible[k]])
    found = np.stack([faces[k] for k in rows])
    return found / np.linalg.norm(found, axis=1, keepdims=True), photos.people[rows]


def similarities(faces: np.ndarray, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosines of each face with the others of its person, (n,), and with those of each other, (n, people - 1)."""
    cosines, names = faces @ faces.T, np.unique(people)
    same = people[:, None] == people
    own = (np.where(same, cosines, 0).sum(1) - 1) / np.maximum(same.sum(1) - 1, 1)
    others = [[cosines[k, people == name].mean() for name in names if name != people[k]] for k in range(len(faces))]
    return np.where(same.sum(1) > 1, own, np.nan), np.array(others)


def midway(own: np.ndarray, others: np.ndarray) -> float:
    """Between the lowest of one and the highest of the other, rare ones apart."""
    return float((np.nanpercentile(own, RARE) + np.percentile(others, 100 - RARE)) / 2)


def main(
    folder: Path,
    out: Path | None = None,
    recogniser: str = "dlib-face",
    pixels: int = Identity().pixels,
    turned: float = Identity().turned,
) -> None:
    """Prints the thresholds and how they do.

    Args:
        folder: A curated folder of people's folders.
        out: Where `.curation` is, if not there.
        recogniser: Which was asked.
        pixels: That a face must be tall.
        turned: How far it may look to a side.
    """
    people = Filters().people
    assert people is not None
    people.recogniser = recogniser
    faces, whose = readable(folder, out or folder, people, Identity(pixels=pixels, turned=turned))
    own, others = similarities(faces, whose)
    thresholds, wrong, lost = [], 0, 0
    for person in np.unique(whose):
        left = whose == person
        thresholds.append(midway(own[~left], others[~left]))
        wrong += int((others[left] >= thresholds[-1]).sum())
        lost += int((own[left] < thresholds[-1]).sum())
    print(f"{len(faces)} faces of {len(thresholds)} people, {faces.shape[1]} numbers")
    print(f"own: {np.nanmin(own):.3f} and more, median {np.nanmedian(own):.3f}")
    print(f"others': up to {others.max():.3f}, median {np.median(others):.3f}")
    print(f"threshold {midway(own, others):.3f}; of all people but one {min(thresholds):.3f} to {max(thresholds):.3f}")
    counted = int(np.isfinite(own).sum())
    print(f"tried on that one: {lost} of {counted} own faces below it, {wrong} of {others.size} others' above it")


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main, args=sys.argv[1:])
