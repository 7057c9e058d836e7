"""`bolid data render`: renders photos of people."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bolid.core.errors import BolidError

RESERVED = 900_000  # people from this number on are reserved for testing


def render_folder(
    folder: Path,
    people: int = 100,
    first: int = 0,
    photos: int = 4,
    size: tuple[int, int] = (528, 352),
    split: Literal["train", "val", "test"] = "train",
    framing: str = "mixed",
    outfits: int = 1,
    families: int = 0,
    opposites: bool = False,
    companions: float = 0.0,
    workers: int = 2,
    seed: int = 0,
) -> str:
    """Renders photos of people with ground truth, captions and manifest; resumes an interrupted run.

    Args:
        folder: Output folder; further calls with other people or another split extend it.
        people: Number of people.
        first: Number of the first one; from 900000 on people are reserved for testing.
        photos: Number of photos per person.
        size: Height and width of the photos in pixels.
        split: train, val or test.
        framing: mixed, figure (no heads alone), upright (standing or walking, whole, seen from the front or halfway),
            full length, three-quarter length, or head and shoulders.
        outfits: 2 renders every photo in a second outfit, too, all else equal.
        families: Number of consecutive people who share head, skin and hair, as hard negatives; 0 for none.
        opposites: Whether people come in counterfactual pairs: each odd number has the scenes, clothes and poses of the
            one before, with the opposite body, such as heavy instead of slim.
        companions: Share of full-length photos with a second person beside.
        workers: Number of processes.
        seed: Seed of poses, clothes and scenes; people do not depend on it.

    Returns:
        One line with the number of photos.

    Raises:
        BolidError: If there is nothing to render, or people reserved for testing are rendered for another split.
    """
    if people < 1 or photos < 1:
        raise BolidError(f"nothing to render: people={people} and photos={photos} must both be 1 or more")
    if split != "test" and first + people > RESERVED:
        raise BolidError(
            f"people from {RESERVED} on are reserved for testing: give `--split test`, or another `--first`"
        )
    from bolid.synthetic.people import render_people

    numbers = range(first, first + people)
    render_people(
        folder, numbers, photos, *size, split, framing, outfits, families, opposites, workers, seed, companions
    )
    return f"{people * photos * outfits} photos of {people} people in {folder / split}"
