"""Clothes leak: does the picture wear what the references wear, where the prompt says otherwise?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.synthetic.readers.readers import AttributeReader
from bolid.synthetic.wording import ATTRIBUTES, attributes

GARMENTS = ("shirt", "trousers")


class ClothesLeak(ImageMetric):
    """Share of garments in a colour of the references' against the prompt, less the same with another's references.

    Around 0 where nothing leaks, up to 1; what the reader mistakes for one colour or another is in both terms. Only
    garments count whose colour the prompt names and no reference wears.

    Args:
        reader: Says in which colours pictures are dressed.
    """

    higher_is_better = False
    excess: list[Tensor]
    people: list[Tensor]

    def __init__(self, reader: AttributeReader) -> None:
        super().__init__()
        self.reader = reader
        self.before: list[tuple[str, list[str]]] = []
        self.add_rows("excess")
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1 of prompts `batch.captions`.

        Raises:
            BolidError: If nobody but one person was seen yet: there is nobody to compare with.
        """
        people = batch.identities
        # A last batch may show one person alone, who is then compared with somebody of the batch before.
        known = [*zip(people, batch.references.captions, strict=True), *self.before]
        if len({who for who, _ in known}) < 2:
            raise BolidError("clothes leak compares with another person's references: raise data.batch_size")
        other = [next(k for k, (who, _) in enumerate(known) if who != own) for own in people]
        self.before = list({who: (who, captions) for who, captions in known}.values())[:2]
        found = self.reader.read(pictures)
        prompts = [attributes(caption) for caption in batch.captions]
        references = [[attributes(caption) for caption in captions] for _, captions in known]
        for garment in GARMENTS:
            asked = [said.get(garment) for said in prompts]
            worn = [{said[garment] for said in photos if garment in said} for photos in references]
            shown = [ATTRIBUTES[garment][k] for k in found[garment].tolist()]
            rows = [i for i, colour in enumerate(asked) if colour and worn[i] and colour not in worn[i]]
            leaks = [float(shown[i] in worn[i]) - float(shown[i] in worn[other[i]] - {asked[i]}) for i in rows]
            self.excess.append(torch.tensor(leaks, device=pictures.device))
            self.people.append(numbered([people[i] for i in rows]).to(pictures.device))

    def reset(self) -> None:
        """Forgets all pictures, and whom the last ones were of."""
        super().reset()
        self.before = []

    def compute(self) -> dict[str, Tensor]:
        """`clothes_leak`; not a number where no garment counts."""
        return {"clothes_leak": dim_zero_cat(self.excess).mean()}

    def person_scores(self) -> dict[str, PersonScores]:
        """One number a garment; see `ImageMetric`."""
        with self.sync_context():
            return {"clothes_leak": PersonScores(dim_zero_cat(self.excess), dim_zero_cat(self.people))}
