"""Runs a test: every method generates images for the photos' prompts, every metric scores every method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.names import named
from bolid.core.ranks import gather
from bolid.core.schema import TrainingBatch
from bolid.evaluation.protocol import Evaluation
from bolid.evaluation.results import Report, SheetRow
from bolid.evaluation.statistics import GAP, body_gaps, comparisons, guidance_notes
from bolid.methods.base import Method
from bolid.methods.controls import ShuffledIdentity, TextOnly
from bolid.metrics.base import ImageMetric
from bolid.metrics.interval import PersonScores, bounds, intervals
from bolid.pipelines.bolid import BoLIDPipeline

SHEET_PEOPLE = 64  # maximum rows kept for the sheet: thousands of images would not fit into memory


class Evaluator(nn.Module):
    """Evaluates any method by any metric.

    Args:
        evaluation: Methods, metrics and sampling.
        pipeline: The networks under test; they are not registered in this module.
        seed: Seed of the images; a photo's seed is the same for all methods.

    Raises:
        BolidError: If a name is invalid, or a method does not fit the networks.
    """

    scores: Any  # ModuleDict of ModuleDicts; mypy takes their values for plain Modules

    def __init__(self, evaluation: Evaluation, pipeline: BoLIDPipeline, seed: int = 0):
        super().__init__()
        self.methods: dict[str, Method] = named(evaluation.methods, "methods") or {"text": TextOnly()}
        metrics: dict[str, ImageMetric] = named(evaluation.metrics, "metrics")
        if taken := sorted({"low", "high"} & self.methods.keys()):
            raise BolidError(f"methods: {taken[0]!r} is part of other numbers' names; choose another one")
        self.sampling, self.seed = evaluation.sampling, seed
        if self.sampling.scheduler is not None:
            pipeline.backbone.draw_with(self.sampling.scheduler)
        for method in self.methods.values():
            method.prepare(pipeline, self.sampling)
        self.scores = nn.ModuleDict(
            {name: nn.ModuleDict({key: metric.clone() for key, metric in metrics.items()}) for name in self.methods}
        )
        self.reset()

    def reset(self) -> None:
        """Resets all metrics."""
        self.images, self.sheet = 0, dict[str, SheetRow]()
        self._report: Report | None = None
        for metrics in self.scores.values():
            for metric in metrics.values():
                metric.reset()

    def begin(self, samples: Sequence[TrainingBatch]) -> None:
        """Resets, and prepares every method for a test of these samples.

        Raises:
            BolidError: If a method cannot generate for them.
        """
        self.reset()
        for method in self.methods.values():
            method.begin(samples)

    def update(self, batch: TrainingBatch) -> None:
        """Generates images by every method and updates the metrics; the first images go to the sheet."""
        self._report = None
        subjects = {name: method.subjects(batch) for name, method in self.methods.items()}
        # Reversed, so that the images that remain for the sheet are number 0.
        for number in reversed(range(self.sampling.images_per_prompt)):
            images = {name: self._generate(name, batch, subjects[name], number) for name in self.methods}
            for name, made in images.items():
                for metric in self.scores[name].values():
                    metric.update(made, batch)
            self.images += len(batch)
        # One row per person, so that the sheet shows many people.
        for identity, row in zip(batch.identities, sheet_rows(batch, images), strict=True):
            if len(self.sheet) < SHEET_PEOPLE:
                self.sheet.setdefault(identity, row)

    def generate(self, name: str, batch: TrainingBatch, number: int = 0) -> Tensor:
        """Generates the images of a batch's prompts by a method, (B, 3, H, W) in 0..1.

        The seed depends on the photo and on the `number` of its image, not on the method.
        """
        return self._generate(name, batch, self.methods[name].subjects(batch), number)

    def rows(self, batch: TrainingBatch) -> list[SheetRow]:
        """One sheet row per sample, with the images of all methods."""
        return sheet_rows(batch, {name: self.generate(name, batch) for name in self.methods})

    @torch.no_grad()
    def grid(self, batch: TrainingBatch, rank: int = 0, ranks: int = 1) -> list[SheetRow]:
        """One sheet row per sample, always from the same noise; methods are distributed over ranks. Collective.

        All ranks use the same batch, so that images do not depend on the number of ranks. If the batch holds a single
        person, methods that shuffle identities are left out instead of ending the fit.
        """
        alone = len(set(batch.identities)) == 1
        names = [n for n, method in self.methods.items() if not (alone and isinstance(method, ShuffledIdentity))]
        shares = gather({name: self.generate(name, batch).cpu() for name in names[rank::ranks]})
        images = {name: made for share in shares for name, made in share.items()}
        return sheet_rows(batch, {name: images[name] for name in names})

    def report(self) -> Report:
        """The report of the test so far over all ranks, computed once. Collective."""
        if self._report is None:
            self._report = self._compute()
        return self._report

    def _generate(self, name: str, batch: TrainingBatch, subjects: Sequence[Any], number: int) -> Tensor:
        seeds = [self.seed + crc32((file + "+" * number).encode()) for file in batch.file_names]  # 32 bits on a CPU
        height, width = batch.pictures.shape[-2:]
        return self.methods[name].generate(batch.captions, subjects, seeds, (height, width))

    def _compute(self) -> Report:
        values: dict[str, float] = {}
        people: dict[str, dict[str, PersonScores]] = {}
        other: dict[str, float] = {}
        for name, metrics in self.scores.items():
            # Several metrics may report a value of the same name, such as CLIP scores of two networks.
            called = keys(metrics)
            values |= {f"{key}/{name}": value for key, value in numbers(metrics, called).items()}
            people[name] = {}
            for own, metric in metrics.items():
                people[name] |= {called[own].get(k, k): v for k, v in metric.person_scores().items()}
                for key, interval in metric.other_intervals().items():
                    other |= bounds(f"{called[own].get(key, key)}/{name}", interval)
        values |= intervals(people, comparisons(self.methods)) | body_gaps(people, self.methods) | other
        described = {
            key: text for m in self.scores.values() for metric in m.values() for key, text in metric.describes.items()
        }
        return Report(
            metrics=values,
            pictures=sum(gather(self.images)),
            seed=self.seed,
            rows=list(self.sheet.values()),
            notes=guidance_notes(self.methods),
            descriptions=described | GAP,
        )


def keys(metrics: Mapping[str, ImageMetric]) -> dict[str, dict[str, str]]:
    """Metric -> key of a value -> key in the report; if several metrics share a key, each appends its name."""
    made = {name: list(metric.compute()) for name, metric in metrics.items()}
    counts = Counter(key for own in made.values() for key in own)
    return {name: {key: f"{key}/{name}" if counts[key] > 1 else key for key in own} for name, own in made.items()}


def numbers(metrics: Mapping[str, ImageMetric], called: Mapping[str, Mapping[str, str]]) -> dict[str, float]:
    """The values of metrics by the keys of `keys`."""
    return {
        called[name][key]: float(value) for name, metric in metrics.items() for key, value in metric.compute().items()
    }


def sheet_rows(batch: TrainingBatch, images: Mapping[str, Tensor]) -> list[SheetRow]:
    """One row per sample: its references and the methods' images, all (3, H, W) in 0..1 on the CPU."""
    return [
        SheetRow(
            references=[
                (p * 0.5 + 0.5).cpu()
                for p, m in zip(batch.references.pictures[i], batch.references.mask[i], strict=True)
                if m
            ],
            images={name: made[i].cpu() for name, made in images.items()},
            caption=batch.captions[i],
        )
        for i in range(len(batch))
    ]
