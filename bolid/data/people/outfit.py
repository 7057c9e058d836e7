"""What somebody wears in a photo, and its words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.people.body import Posed
from bolid.data.people.garments import BOTTOMS, COLOURS, DRESSES, TOPS, Garment, bare, drape, hang, shoes
from bolid.data.people.mesh import Piece

SHOES = np.array([(0.12, 0.10, 0.09), (0.85, 0.85, 0.85), (0.35, 0.20, 0.12), (0.25, 0.27, 0.33)])
TOP_ODDS = {"t-shirt": 3, "shirt": 3, "sweater": 1.5, "tank top": 1}
WOMAN_TOP_ODDS = TOP_ODDS | {"blouse": 1.5}
BOTTOM_ODDS = {"trousers": 5, "shorts": 2.2, "wide trousers": 1}
WOMAN_BOTTOM_ODDS = BOTTOM_ODDS | {"leggings": 2, "skirt": 2, "long skirt": 0.7}


@dataclass
class Outfit:
    """Garments with the names of their colours; `whole` (dress or coat) replaces or covers the top."""

    top: Garment | None
    bottom: Garment | None
    whole: Garment | None
    colours: tuple[str, str]
    tucked: bool
    shoes: np.ndarray
    flare: float

    @property
    def words(self) -> str:
        """The clothes as a caption names them."""
        first, second = self.colours
        if self.whole is not None and self.bottom is None:
            return f"{_article(first)} {self.whole.words}"
        upper = self.whole or self.top
        return f"{_article(first)} {upper.words} and {_counted(self.bottom, second)}"


def _article(colour: str) -> str:
    return ("an " if colour[0] in "aeiou" else "a ") + colour


def _counted(garment: Garment, colour: str) -> str:
    return f"{colour} {garment.words}" if garment.words.endswith("s") else f"{_article(colour)} {garment.words}"


def draw_outfit(rng: np.random.Generator, gender: str, upright: bool) -> Outfit:
    """A random outfit; skirts, dresses and coats only where legs hang (`upright`)."""
    names = list(COLOURS)
    colours = (names[rng.integers(len(names))], names[rng.integers(len(names))])
    tops, bottoms = (TOP_ODDS, BOTTOM_ODDS) if gender == "man" else (WOMAN_TOP_ODDS, WOMAN_BOTTOM_ODDS)
    top, bottom, chance = TOPS[_pick(rng, tops)], BOTTOMS[_pick(rng, bottoms)], rng.random()
    tucked, sole, flare = rng.random() < 0.35, SHOES[rng.integers(len(SHOES))], rng.uniform(0.05, 0.32)
    if bottom.skirt and not upright:
        bottom = BOTTOMS["leggings"]
    whole = None
    if upright and chance < 0.07:
        whole, top, flare = DRESSES["coat"], None, flare * 0.4
        bottom = BOTTOMS["trousers"]
    elif upright and gender == "woman" and chance > 0.86:
        whole, top, bottom = DRESSES["dress"], None, None
    return Outfit(top, bottom, whole, colours, tucked, sole, flare)


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    weights = np.array(list(odds.values()), float)
    return str(rng.choice(list(odds), p=weights / weights.sum()))


def wear(outfit: Outfit, posed: Posed, normal: np.ndarray) -> tuple[list[Piece], np.ndarray]:
    """Surfaces of the clothes and shoes, and (F,) which faces of the body stay to be drawn."""
    first, second = (np.array(COLOURS[c]) for c in outfit.colours)
    pieces, worn = shoes(posed, outfit.shoes), []
    if outfit.bottom is not None:
        over = 0.008 if outfit.tucked and outfit.top is not None and outfit.top.thick < 0.02 else 0.0
        pieces.append(drape(outfit.bottom, posed, normal, second, over))
        worn.append(outfit.bottom)
        if outfit.bottom.skirt:
            pieces.append(hang(outfit.bottom, posed, second, outfit.flare))
    upper = outfit.whole or outfit.top
    beneath = 0.0 if outfit.bottom is None or (outfit.tucked and upper.thick < 0.02) else 0.009
    pieces.append(drape(upper, posed, normal, first, beneath))
    worn.append(upper)
    if outfit.whole is not None:
        pieces.append(hang(outfit.whole, posed, first, outfit.flare))
    return pieces, bare(worn)
