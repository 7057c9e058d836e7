"""Dropout of caption phrases, and captions of mirrored photos."""

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
    """Dropout probability of each kind of caption phrase. The defaults are those of adapter training.

    Attributes:
        body: Probability of dropping each body phrase (build, height, shoulders, waist, hips, legs) on its own.
        all_body: Probability of dropping all body phrases together.
        gender: Probability for the gender; the caption then starts with "a photo of a person".
        hair: Probability for the hair, as for the rest.
        clothes: Clothes.
        pose: Pose.
        view: View.
        framing: Framing.
        background: Background.
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
        """Samples the kinds of phrases to drop from one caption; free captions (kind `text`) are never dropped.

        The same random state drops the same kinds, whichever of them a caption has.
        """
        dropped = set(BODY_KINDS if rng.random() < self.all_body else ())
        dropped |= {kind for kind in PHRASE_KINDS if rng.random() < self._of(kind)}
        return frozenset(dropped.intersection(p.kind for p in phrases))

    def _of(self, kind: str) -> float:
        """The probability of dropping a kind on its own."""
        return self.body if kind in BODY_KINDS else getattr(self, kind, 0.0)


def swap_sides(text: str) -> str:
    """Swaps the words left and right for the caption of a mirrored photo; keeps their case."""

    def other(match: re.Match[str]) -> str:
        word = match.group()
        swapped = "right" if word.lower() == "left" else "left"
        return swapped.upper() if word.isupper() else swapped.capitalize() if word[0].isupper() else swapped

    return _SIDES.sub(other, text)
