"""Outfits in photos, and their words in captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.synthetic.people.body import Posed
from bolid.synthetic.people.garments import BOTTOMS, COLOURS, DRESSES, TOPS, Garment, bare, drape, hang, shoes
from bolid.synthetic.people.mesh import Piece

SHOES = np.array([(0.12, 0.10, 0.09), (0.85, 0.85, 0.85), (0.35, 0.20, 0.12), (0.25, 0.27, 0.33)])
TOP_ODDS = {"t-shirt": 3, "shirt": 3, "sweater": 1.5, "tank top": 1}
WOMAN_TOP_ODDS = TOP_ODDS | {"blouse": 1.5}
BOTTOM_ODDS = {"trousers": 5, "shorts": 2.2, "wide trousers": 1}
WOMAN_BOTTOM_ODDS = BOTTOM_ODDS | {"leggings": 2, "skirt": 2, "long skirt": 0.7}


@dataclass
class Outfit:
    """Clothes with the names of their colours.

    Attributes:
        upper: Top, dress or coat. `bottom`: None under a dress.
        colours: Of `upper` and `bottom`, names in `COLOURS`.
        tucked: The upper goes into the bottom, if it is thin. `shoes`: (3,) colour.
        flare: How much skirts widen, metres per metre.
    """

    upper: Garment
    bottom: Garment | None
    colours: tuple[str, str]
    tucked: bool
    shoes: np.ndarray
    flare: float

    @property
    def words(self) -> str:
        """The clothes as a caption names them."""
        first, second = self.colours
        words = f"{_article(first)} {self.upper.words}"
        return words if self.bottom is None else f"{words} and {_counted(self.bottom, second)}"


def _article(colour: str) -> str:
    return ("an " if colour[0] in "aeiou" else "a ") + colour


def _counted(garment: Garment, colour: str) -> str:
    return f"{colour} {garment.words}" if garment.words.endswith("s") else f"{_article(colour)} {garment.words}"


def draw_outfit(rng: np.random.Generator, gender: str, upright: bool, unlike: Outfit | None = None) -> Outfit:
    """A random outfit; skirts, dresses and coats only where legs hang (`upright`), no colour that `unlike` has."""
    names = [name for name in COLOURS if unlike is None or name not in unlike.colours]
    colours = (names[rng.integers(len(names))], names[rng.integers(len(names))])
    tops, bottoms = (TOP_ODDS, BOTTOM_ODDS) if gender == "man" else (WOMAN_TOP_ODDS, WOMAN_BOTTOM_ODDS)
    top, bottom, chance = TOPS[_pick(rng, tops)], BOTTOMS[_pick(rng, bottoms)], rng.random()
    tucked, sole, flare = rng.random() < 0.35, SHOES[rng.integers(len(SHOES))], rng.uniform(0.05, 0.32)
    if upright and chance < 0.07:
        return Outfit(DRESSES["coat"], BOTTOMS["trousers"], colours, tucked, sole, flare * 0.4)
    if upright and gender == "woman" and chance > 0.86:
        return Outfit(DRESSES["dress"], None, colours, tucked, sole, flare)
    if bottom.skirt and not upright:
        bottom = BOTTOMS["leggings"]
    return Outfit(top, bottom, colours, tucked, sole, flare)


def _pick(rng: np.random.Generator, odds: dict[str, float]) -> str:
    weights = np.array(list(odds.values()), float)
    return str(rng.choice(list(odds), p=weights / weights.sum()))


def wear(outfit: Outfit, posed: Posed, normal: np.ndarray) -> tuple[list[Piece], np.ndarray]:
    """Surfaces of the clothes and shoes, and (F,) which faces of the body stay to be drawn."""
    first, second = (np.array(COLOURS[c]) for c in outfit.colours)
    pieces, worn = shoes(posed, outfit.shoes), [outfit.upper]
    tucked = outfit.tucked and outfit.upper.thick < 0.02
    if outfit.bottom is not None:
        pieces.append(drape(outfit.bottom, posed, normal, second, 0.008 if tucked else 0.0))
        worn.append(outfit.bottom)
        if outfit.bottom.skirt:
            pieces.append(hang(outfit.bottom, posed, second, outfit.flare))
    beneath = 0.0 if outfit.bottom is None or tucked else 0.009
    pieces.append(drape(outfit.upper, posed, normal, first, beneath))
    if outfit.upper.skirt:
        pieces.append(hang(outfit.upper, posed, first, outfit.flare))
    return pieces, bare(worn)
