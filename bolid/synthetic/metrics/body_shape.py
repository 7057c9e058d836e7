"""Body shape: error of the proportions measured in generated images."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.synthetic.measures import RATIOS, SHAPE
from bolid.vision.pose import PoseNetwork
from bolid.vision.readers import ProportionReader

NEEDS = "a whole figure of a person whose proportions are known"
_SCORED = [RATIOS.index(name) for name in SHAPE]


class BodyReadings(ImageMetric):
    """Base class: collects measured proportions per image, and true ones.

    Args:
        anthropometer: Regressor of `RATIOS` from images.
    """

    people: list[Tensor]
    readings: list[Tensor]
    truths: list[Tensor]

    def __init__(self, anthropometer: ProportionReader) -> None:
        super().__init__()
        self.anthropometer = anthropometer
        self.add_rows("people", dtype=torch.int64)
        self.add_rows("readings", len(RATIOS))
        self.add_rows("truths", len(RATIOS))

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """(B,) bool: samples of a whole figure of a person whose proportions are known.

        Raises:
            BolidError: If other proportions than `RATIOS` are known.
        """
        truth = batch.references.proportions
        if truth.shape[1] not in (0, len(RATIOS)):
            raise BolidError(
                f"{type(self).__name__} compares {len(RATIOS)} proportions ({', '.join(RATIOS)}), and the samples "
                f"carry {truth.shape[1]}"
            )
        return batch.whole_figure & batch.references.shape_known(len(RATIOS))

    def add(self, readings: Tensor, batch: TrainingBatch) -> None:
        """Adds readings (B, 7) of images of the batch's people."""
        self.readings.append(readings)
        self.truths.append(batch.references.proportions.to(readings))
        self.people.append(numbered(batch.identities).to(readings.device))

    def by_person(self) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Numbers (P,) of the people seen, their true proportions (P, 7) and readings (n, 7) each, on the CPU."""
        rows, readings, truths = (dim_zero_cat(part).cpu() for part in (self.people, self.readings, self.truths))
        people = rows.unique()
        mine = [rows == person for person in people]
        truth = torch.stack([truths[m][0] for m in mine]).float() if mine else torch.zeros(0, len(RATIOS))
        return people, truth, [readings[m].float() for m in mine]


class BodyShape(BodyReadings):
    """Error of the mean reading over a person's images, in within-gender standard deviations; 0 is best.

    Only samples of a whole figure with known proportions count. An image without a detected person counts as an average
    body.

    Args:
        anthropometer: Regressor of `RATIOS` from images.
        pose: Pose network that detects the person.
    """

    describes = {
        "body_shape_error": Description(
            "standard deviations within a gender; an average body scores about 0.93", "lower", needs=NEEDS
        ),
        "body_shape_slope": Description(
            "of readings on true proportions; 1 is best, 0 where images do not follow the person", needs=NEEDS
        ),
    }
    higher_is_better = False

    def __init__(self, anthropometer: ProportionReader, pose: PoseNetwork) -> None:
        super().__init__(anthropometer)
        self.pose = pose

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds those of the images (B, 3, H, W) in 0..1 that can be scored."""
        rows = torch.nonzero(self.can_score(batch))[:, 0]
        if len(rows):
            shown = pictures[rows]
            found = self.pose.estimate(shown).score > 0  # (b,)
            self.add(torch.where(found[:, None], self.anthropometer.read(shown), 0.0), batch.take(rows))

    def compute(self) -> dict[str, Tensor]:
        """`body_shape_error`, over all of `SHAPE` and by ratio, and `body_shape_slope` of readings on the truth.

        Errors are roots of the mean square over people. The slope is 1 if readings follow the truth, 0 if they are
        independent of it.
        """
        _, truth, mean = self.means()
        square = (mean - truth).square().mean(0)  # (7,)
        found = {"body_shape_error": square[_SCORED].mean().sqrt(), "body_shape_slope": _slope(truth, mean)}
        return found | {f"body_shape_error/{name}": square[row].sqrt() for row, name in enumerate(RATIOS)}

    def person_scores(self) -> dict[str, PersonScores]:
        """Squared errors, one per person; see `ImageMetric`."""
        with self.sync_context():
            people, truth, mean = self.means()
        square = (mean - truth)[:, _SCORED].square().mean(1)  # (P,)
        return {"body_shape_error": PersonScores(square, people, root=True)}

    def means(self) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers (P,) of the people seen, their true proportions and mean readings, (P, 7) each."""
        people, truth, readings = self.by_person()
        return people, truth, torch.stack([r.mean(0) for r in readings]) if readings else torch.zeros(0, len(RATIOS))


class ReadingAccuracy(BodyReadings):
    """Accuracy of an anthropometer on photos of whole figures: R² of one reading, and of a person's mean reading.

    R² is the explained share of the variance within a gender: 1 is best, 0 is the score of predicting the average.

    Args:
        anthropometer: Regressor of `RATIOS` to evaluate.
        pictures: Number of a person's images to average over; people with fewer are left out.
    """

    higher_is_better = True

    def __init__(self, anthropometer: ProportionReader, pictures: int = 8) -> None:
        super().__init__(anthropometer)
        self.pictures = pictures
        share = "share of the variance within a gender that {} explains, up to 1"
        self.describes = {
            "r2_1": Description(share.format("one image's reading"), "higher", needs=NEEDS),
            f"r2_{pictures}": Description(share.format(f"the mean of {pictures} readings"), "higher", needs=NEEDS),
        }

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds those of the images (B, 3, H, W) in 0..1 that can be scored."""
        rows = torch.nonzero(self.can_score(batch))[:, 0]
        if len(rows):
            self.add(self.anthropometer.read(pictures[rows]), batch.take(rows))

    def compute(self) -> dict[str, Tensor]:
        """`r2_1` of single readings and `r2_<images>` of means: over `SHAPE`, and by ratio."""
        _, truth, readings = self.by_person()
        rows = [(t, r) for t, many in zip(truth, readings, strict=True) for r in many]
        means = [
            (t, m[: self.pictures].mean(0)) for t, m in zip(truth, readings, strict=True) if len(m) >= self.pictures
        ]
        return _r2("r2_1", rows) | _r2(f"r2_{self.pictures}", means)


def _r2(key: str, pairs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """R² of (truth (7,), reading (7,)) pairs; NaN for fewer than two."""
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
