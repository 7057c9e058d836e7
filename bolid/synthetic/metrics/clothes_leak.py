"""Clothes leak: clothing colours of the references in images whose prompt names other ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.vision.readers import AttributeReader

GARMENTS = ("shirt", "trousers")


class ClothesLeak(ImageMetric):
    """Share of garments in a colour of the references against the prompt, minus the same with another person's
    references.

    Around 0 without a leak, up to 1; errors of the reader cancel in the difference. Only garments count whose colour is
    in the prompt and in no reference, both known to the reader.

    Args:
        reader: Classifier of clothing colours.

    Raises:
        BolidError: If the reader classifies no garment.
    """

    describes = {
        "clothes_leak": Description(
            "share of garments in the references' colours against the prompt, less another person's references'; "
            "around 0 is best",
            needs="a prompt that names a colour of clothes, and references in other known ones",
        )
    }
    higher_is_better = False
    excess: list[Tensor]
    people: list[Tensor]

    def __init__(self, reader: AttributeReader) -> None:
        super().__init__()
        self.classes = {garment: reader.classes[garment] for garment in GARMENTS if garment in reader.classes}
        if not self.classes:
            raise BolidError(f"ClothesLeak needs a reader of {' or '.join(GARMENTS)}, not of {[*reader.classes]}")
        self.reader = reader
        self.before: list[tuple[str, list[dict[str, str]]]] = []
        self.add_rows("excess")
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1 of prompts that ask for `batch.asked`.

        Images of the first person count only once there is a second one, whose references serve as the baseline.
        """
        people = batch.identities
        # A last batch of a single person is compared with a person of the batch before.
        known = [*zip(people, batch.references.attributes, strict=True), *self.before]
        self.before = list({person: (person, photos) for person, photos in known}.values())[:2]
        if len(self.before) < 2:
            return
        other = [next(k for k, (person, _) in enumerate(known) if person != own) for own in people]
        found = self.reader.read(images)
        for garment, colours in self.classes.items():
            worn = [{p[garment] for p in photos if p.get(garment) in colours} for _, photos in known]
            shown = [colours[k] for k in found[garment].tolist()]
            leaks = {
                row: float(shown[row] in worn[row]) - float(shown[row] in worn[other[row]] - {asked[garment]})
                for row, asked in enumerate(batch.asked)
                if asked.get(garment) in colours and worn[row] and asked[garment] not in worn[row]
            }
            self.excess.append(torch.tensor(list(leaks.values()), device=images.device))
            self.people.append(numbered([people[row] for row in leaks]).to(images.device))

    def reset(self) -> None:
        """Forgets all images, and the people of the last ones."""
        super().reset()
        self.before = []

    def compute(self) -> dict[str, Tensor]:
        """`clothes_leak`; NaN if no garment counts."""
        return {"clothes_leak": dim_zero_cat(self.excess).mean()}

    def person_scores(self) -> dict[str, PersonScores]:
        """One score per garment; see `ImageMetric`."""
        with self.sync_context():
            return {"clothes_leak": PersonScores(dim_zero_cat(self.excess), dim_zero_cat(self.people))}
