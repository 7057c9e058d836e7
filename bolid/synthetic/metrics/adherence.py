"""Prompt adherence: is what the caption asks for in the picture?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.synthetic.readers.readers import UNSAID, AttributeReader, attribute_labels
from bolid.synthetic.wording import ATTRIBUTES


class PromptAdherence(ImageMetric):
    """Share of pictures that show what their caption asks for, for each attribute; 0..1, more is better.

    A caption counts for an attribute only if it says something of it. The reader's own mistakes count against the
    picture, so the score of real photos is the ceiling.

    Args:
        reader: Says what pictures show.
    """

    higher_is_better = True
    shown: list[Tensor]
    people: list[Tensor]

    def __init__(self, reader: AttributeReader) -> None:
        super().__init__()
        self.reader = reader
        self.add_rows("shown", len(ATTRIBUTES))  # 1 or 0, not a number where nothing was asked for
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1, compared with `batch.captions`, which they were drawn from."""
        wanted, found = attribute_labels(batch.captions), self.reader.read(pictures)
        labels = torch.stack([wanted[name] for name in ATTRIBUTES], 1).to(pictures.device)  # (B, A)
        shown = (labels == torch.stack([found[name] for name in ATTRIBUTES], 1)).float()
        self.shown.append(shown.masked_fill(labels == UNSAID, torch.nan))
        self.people.append(numbered(batch.identities).to(pictures.device))

    def compute(self) -> dict[str, Tensor]:
        """`adherence/<attribute>`; not a number where no caption said anything of it."""
        shares = dim_zero_cat(self.shown).double().nanmean(0).float()
        return {f"adherence/{name}": share for name, share in zip(ATTRIBUTES, shares, strict=True)}

    def person_scores(self) -> dict[str, PersonScores]:
        """See `ImageMetric`."""
        with self.sync_context():
            shown, people = dim_zero_cat(self.shown), dim_zero_cat(self.people)
        return {
            f"adherence/{name}": PersonScores(shown[asked, row], people[asked])
            for row, (name, asked) in enumerate(zip(ATTRIBUTES, shown.isfinite().T, strict=True))
        }
