"""Prompt adherence: whether images show the attributes of their captions."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.vision.readers import UNKNOWN, AttributeReader


class PromptAdherence(ImageMetric):
    """Share of images that show the class in their caption, for each attribute of the reader; 0..1.

    A sample counts for an attribute only if its caption contains one of the reader's classes. Errors of the reader
    count against the image, so the score of real photos is the upper bound.

    Args:
        reader: Attribute classifier.
    """

    describes = {
        "adherence": Description(
            "share of images that show what their caption asks for, 0 to 1; real photos are the ceiling",
            "higher",
            needs="a caption that asks for an attribute the reader knows",
        )
    }
    higher_is_better = True
    shown: list[Tensor]
    people: list[Tensor]

    def __init__(self, reader: AttributeReader) -> None:
        super().__init__()
        self.reader = reader
        self.add_rows("shown", len(reader.classes))  # 1 or 0, NaN if the attribute is not in the caption
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1, compared with `batch.asked`."""
        wanted, found = self.reader.labels(batch.asked), self.reader.read(images)
        labels = torch.stack([wanted[name] for name in self.reader.classes], 1).to(images.device)  # (B, A)
        shown = (labels == torch.stack([found[name] for name in self.reader.classes], 1)).float()
        self.shown.append(shown.masked_fill(labels == UNKNOWN, torch.nan))
        self.people.append(numbered(batch.identities).to(images.device))

    def compute(self) -> dict[str, Tensor]:
        """`adherence/<attribute>`; NaN if no caption contains it."""
        shares = dim_zero_cat(self.shown).double().nanmean(0).float()
        return {f"adherence/{name}": share for name, share in zip(self.reader.classes, shares, strict=True)}

    def person_scores(self) -> dict[str, PersonScores]:
        """See `ImageMetric`."""
        with self.sync_context():
            shown, people = dim_zero_cat(self.shown), dim_zero_cat(self.people)
        return {
            f"adherence/{name}": PersonScores(shown[asked, row], people[asked])
            for row, (name, asked) in enumerate(zip(self.reader.classes, shown.isfinite().T, strict=True))
        }
