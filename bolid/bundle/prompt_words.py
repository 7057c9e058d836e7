"""Words of other methods' prompts that captions of rendered photos lack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RARE = "sks"  # of DreamBooth: a token without a meaning of its own, to be bound to a person
TRIGGER = "img"  # of PhotoMaker: follows the class word whose embedding is replaced
ASIDES = (  # they do not change the content of an image
    "best quality, high quality",  # IP-Adapter
    "portrait, color, cinematic",  # PuLID
)
NEGATIVE = "monochrome, lowres, bad anatomy, worst quality, low quality"  # IP-Adapter: as good as no caption
RESERVED = (f"{RARE} {TRIGGER} man woman person boy girl {' '.join(ASIDES)} {NEGATIVE} blurry deformed").replace(
    ",", ""
)


@dataclass(frozen=True)
class PromptDraw:
    """Dropout and extension of captions in training.

    Attributes:
        dropout: Share of samples without a caption; a third of them has the usual negative prompt in its place.
        asides: Share of captions extended by words such as "best quality", which should have no effect.
    """

    dropout: float = 0.1
    asides: float = 0.05

    def of(self, captions: Sequence[str], chances: Sequence[float]) -> list[str]:
        """Captions, each dropped or extended as its chance in 0..1 decides."""
        return [self._one(caption, chance) for caption, chance in zip(captions, chances, strict=True)]

    def _one(self, caption: str, chance: float) -> str:
        if chance < self.dropout:
            return NEGATIVE if chance < self.dropout / 3 else ""
        beyond = chance - (1 - self.asides)
        return caption if beyond < 0 else f"{caption}, {ASIDES[int(beyond / self.asides * len(ASIDES))]}"
