"""Prompt adherence: is what the caption asks for in the picture?"""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.core.schema import PersonBatch
from bolid.core.wording import ATTRIBUTES, attributes
from bolid.experts.perception import AttributeReader
from bolid.metrics.base import PictureMetric, full_precision

UNSAID = -1


class PromptAdherence(PictureMetric):
    """Share of pictures that show what their caption asks for, for each attribute; 0..1, more is better.

    A caption counts for an attribute only if it says something of it. The reader's own mistakes count against the
    picture, so the score of real photos is the ceiling.

    Args:
        reader: Says what pictures show.
    """

    higher_is_better = True
    asked: Tensor
    shown: Tensor

    def __init__(self, reader: AttributeReader) -> None:
        super().__init__()
        self.reader = reader
        self.add_sum("asked", len(ATTRIBUTES))
        self.add_sum("shown", len(ATTRIBUTES))

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1, compared with `batch.captions`, which they were drawn from."""
        wanted, found = attribute_labels(batch.captions), self.reader.read(pictures)
        for row, name in enumerate(ATTRIBUTES):
            label = wanted[name].to(pictures.device)
            self.asked[row] += (label != UNSAID).sum()
            self.shown[row] += (label == found[name]).sum()

    def compute(self) -> dict[str, Tensor]:
        """`adherence/<attribute>`; not a number where no caption said anything of it."""
        return {
            f"adherence/{name}": share.float() for name, share in zip(ATTRIBUTES, self.shown / self.asked, strict=True)
        }


def attribute_labels(captions: list[str]) -> dict[str, Tensor]:
    """Attribute -> (B,) index of the class each caption names, `UNSAID` where it names none."""
    said = [attributes(caption) for caption in captions]
    return {
        name: torch.tensor([classes.index(s[name]) if name in s else UNSAID for s in said])
        for name, classes in ATTRIBUTES.items()
    }
