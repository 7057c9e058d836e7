"""Body shape: does the person in the pictures have the proportions of the person they are of?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision
from bolid.metrics.interval import PersonScores
from bolid.synthetic.measures import RATIOS, SHAPE, Body, read_bodies, standardise
from bolid.synthetic.readers.readers import Anthropometer
from bolid.synthetic.wording import shows_figure
from bolid.vision.pose import PoseEstimator

_SCORED = [RATIOS.index(name) for name in SHAPE]


class BodyReadings(ImageMetric):
    """Readings of rendered people's bodies, picture by picture; what follows from them is up to `compute`.

    Args:
        anthropometer: Reads the pictures.
        people: Folder of the rendered people, whose table knows their true proportions. It is read when first needed:
            where nobody has been rendered yet, there is none when a metric is built.
    """

    rows: list[Tensor]
    readings: list[Tensor]

    def __init__(self, anthropometer: Anthropometer, people: Path) -> None:
        super().__init__()
        self.anthropometer, self.people = anthropometer, people
        self.add_rows("rows", dtype=torch.int64)
        self.add_rows("readings", len(RATIOS))

    @cached_property
    def bodies(self) -> dict[str, Body]:
        """Everybody's body by identity, in an order that is the same on all ranks."""
        return dict(sorted(read_bodies(self.people).items()))

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Identity -> place in `bodies`."""
        return {identity: number for number, identity in enumerate(self.bodies)}

    def add(self, readings: Tensor, identities: Sequence[str]) -> None:
        """Adds readings (B, 7) of these people's pictures.

        Raises:
            BolidError: if the folder has no table, or does not know one of them.
        """
        if strange := [identity for identity in identities if identity not in self.numbers]:
            raise BolidError(f"{self.people} does not know {strange[0]}: give the folder that the batches are from.")
        self.rows.append(torch.tensor([self.numbers[i] for i in identities], dtype=torch.long, device=readings.device))
        self.readings.append(readings)

    def by_person(self) -> tuple[Tensor, list[Tensor]]:
        """The true proportions (P, 7) of everybody seen, and of each all readings (n, 7), on the CPU."""
        rows, readings = dim_zero_cat(self.rows).cpu(), dim_zero_cat(self.readings).float().cpu()
        truth = standardise(list(self.bodies.values()))  # (P, 7)
        people = rows.unique()
        return truth[people], [readings[rows == person] for person in people]


class BodyShape(BodyReadings):
    """Error of the mean reading over a person's pictures, in within-gender standard deviations; 0 is best.

    Only pictures count whose caption asks for a whole figure. One in which nobody is found counts as an average body.

    Args:
        anthropometer: Reads the pictures.
        people: Folder of the rendered people, whose table knows their true proportions.
        pose: Finds the person in the pictures.
    """

    higher_is_better = False

    def __init__(self, anthropometer: Anthropometer, people: Path, pose: PoseEstimator) -> None:
        super().__init__(anthropometer, people)
        self.pose = pose

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds those of the pictures (B, 3, H, W) in 0..1 that `batch.captions` asked to show a whole figure."""
        shown = [i for i, caption in enumerate(batch.captions) if shows_figure(caption)]
        if shown:
            found = self.pose.estimate(pictures[shown]).score > 0  # (b,)
            readings = torch.where(found[:, None], self.anthropometer.read(pictures[shown]), 0.0)
            self.add(readings, [batch.identities[i] for i in shown])

    def compute(self) -> dict[str, Tensor]:
        """`body_shape_error`, over all of `SHAPE` and by ratio, and `body_shape_slope` of readings on the truth.

        Errors are roots of the mean square over people. The slope is 1 where readings follow the truth, 0 where they
        do not.
        """
        truth, mean = self.means()
        square = (mean - truth).square().mean(0)  # (7,)
        found = {"body_shape_error": square[_SCORED].mean().sqrt(), "body_shape_slope": _slope(truth, mean)}
        return found | {f"body_shape_error/{name}": square[row].sqrt() for row, name in enumerate(RATIOS)}

    def person_scores(self) -> dict[str, PersonScores]:
        """Squared errors, one a person; see `ImageMetric`."""
        with self.sync_context():
            truth, mean = self.means()
            people = dim_zero_cat(self.rows).cpu().unique()
        square = (mean - truth)[:, _SCORED].square().mean(1)  # (P,)
        return {"body_shape_error": PersonScores(square, people, root=True)}

    def means(self) -> tuple[Tensor, Tensor]:
        """The true proportions of everybody seen, in the order of their numbers, and the mean readings: (P, 7) each."""
        truth, readings = self.by_person()
        return truth, torch.stack([r.mean(0) for r in readings]) if readings else torch.zeros(0, len(RATIOS))


class ReadingAccuracy(BodyReadings):
    """How well an anthropometer reads photos of whole figures: R² of one reading, and of a person's mean reading.

    R² is the share of the variance within a gender that readings explain: 1 is best, 0 is what "average" scores.

    Args:
        anthropometer: Is judged.
        people: Folder of the rendered people, whose table knows their true proportions.
        pictures: How many of a person's pictures a mean is over; people with fewer are left out of it.
    """

    higher_is_better = True

    def __init__(self, anthropometer: Anthropometer, people: Path, pictures: int = 8) -> None:
        super().__init__(anthropometer, people)
        self.pictures = pictures

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds those of the pictures (B, 3, H, W) in 0..1 that show a whole figure, as their captions say."""
        shown = [i for i, caption in enumerate(batch.full_captions) if shows_figure(caption)]
        if shown:
            self.add(self.anthropometer.read(pictures[shown]), [batch.identities[i] for i in shown])

    def compute(self) -> dict[str, Tensor]:
        """`r2_1` of single readings and `r2_<pictures>` of means: over `SHAPE`, and by ratio."""
        truth, readings = self.by_person()
        rows = [(t, r) for t, many in zip(truth, readings, strict=True) for r in many]
        means = [
            (t, m[: self.pictures].mean(0)) for t, m in zip(truth, readings, strict=True) if len(m) >= self.pictures
        ]
        return _r2("r2_1", rows) | _r2(f"r2_{self.pictures}", means)


def _r2(key: str, pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """R² of (truth (7,), reading (7,)) pairs; not a number for fewer than two."""
    if len(pairs) < 2:
        score = torch.full((len(RATIOS),), torch.nan)
    else:
        truth, reading = (torch.stack(values) for values in zip(*pairs, strict=True))  # (N, 7)
        score = 1 - (reading - truth).square().mean(0) / truth.var(0, correction=0)
    return {key: score[_SCORED].mean()} | {f"{key}/{name}": score[row] for row, name in enumerate(RATIOS)}


def _slope(truth: Tensor, reading: Tensor) -> Tensor:
    """Least-squares slope of reading on truth over all of `SHAPE` together, each centred: scalar."""
    x, y = (values[:, _SCORED] - values[:, _SCORED].mean(0) for values in (truth, reading))
    return (x * y).sum() / x.square().sum()
