"""Which phrases of a caption the network gets to read, and what a mirror does to words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.schema import BODY_KINDS, PHRASE_KINDS, Phrase

_SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)


@dataclass(frozen=True)
class CaptionDropout:
    """How often each kind of phrase is left out of a caption. The defaults are those of adapter training.

    Attributes:
        body: Probability of leaving out each body phrase (build, height, shoulders, waist, hips, legs) on its own.
        all_body: Probability of leaving out all body phrases together.
        gender: Of the gender; the caption then begins with "a photo of a person".
        hair: Of the hair.
        clothes: Of the clothes.
        pose: Of the pose.
        view: Of the view.
        framing: Of the framing.
        background: Of the background.
    """

    body: float = 0.8
    all_body: float = 0.0
    gender: float = 0.5
    hair: float = 0.5
    clothes: float = 0.0
    pose: float = 0.0
    view: float = 0.0
    framing: float = 0.0
    background: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise BolidError(f"caption_dropout.{name} is {value}; a probability lies between 0 and 1.")

    def draw(self, rng: np.random.Generator, phrases: Sequence[Phrase]) -> frozenset[str]:
        """Draws the kinds to leave out of one caption; free captions (kind `text`) always stay.

        The same chance leaves the same kinds out, whichever of them a caption has.
        """
        dropped = set(BODY_KINDS if rng.random() < self.all_body else ())
        dropped |= {kind for kind in PHRASE_KINDS if rng.random() < self._of(kind)}
        return frozenset(dropped.intersection(p.kind for p in phrases))

    def _of(self, kind: str) -> float:
        """How often a kind is left out on its own."""
        return self.body if kind in BODY_KINDS else getattr(self, kind, 0.0)


def swap_sides(text: str) -> str:
    """Exchanges the words left and right, as the caption of the mirrored photo needs it; keeps their case."""

    def other(match: re.Match[str]) -> str:
        word = match.group()
        swapped = "right" if word.lower() == "left" else "left"
        return swapped.upper() if word.isupper() else swapped.capitalize() if word[0].isupper() else swapped

    return _SIDES.sub(other, text)
