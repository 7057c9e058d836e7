"""The verb `bolid data render`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bolid.core.errors import BolidError

RESERVED = 900_000  # people from this number on are for testing; nothing trains on them


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
    """Renders photos of people with their ground truth, captions and manifest; goes on where a killed run stopped.

    Args:
        folder: Where the photos go; further calls with other people or another split extend it.
        people: How many people.
        first: Number of the first one; from 900000 on people are reserved for testing.
        photos: Photos of each person.
        size: Height and width of the photos in pixels.
        split: train, val or test.
        framing: mixed, figure (no heads alone), upright (standing or walking, whole, seen from the front or halfway),
            full length, three-quarter length, or head and shoulders.
        outfits: 2 draws every photo in a second outfit too, all else alike.
        families: How many consecutive people share head, skin and hair (2: twins); 0: nobody.
        opposites: Whether everybody with an odd number is photographed in the scenes, clothes and poses of the one
            before, with the opposite body: heavy where the other is slim.
        companions: Share of the photos of full length in which somebody else stands beside the person.
        workers: Processes.
        seed: Of poses, clothes and scenes; people do not change with it.

    Returns:
        A line that says what there is now.

    Raises:
        BolidError: If there is nothing to render, or people reserved for testing were asked for otherwise.
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
