"""What a test of a diffusion backbone with branches draws and measures, column by column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.ranks import gather
from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import Report, SheetRow
from bolid.metrics.base import ImageMetric
from bolid.metrics.interval import PersonScores, bounds, gap_closed, intervals, with_bounds
from bolid.models.attention import install_branches
from bolid.models.backbones import Backbone
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks.base import BaseTask

GRID_PHOTOS = 4
SHAPE_ERROR = "body_shape_error"
SHEET_PEOPLE = 64  # kept for the picture sheet: a test of thousands would not fit into memory


@dataclass
class Column:
    """One way of drawing the test's prompts.

    Attributes:
        name: Heading in the report and on the sheet.
        branches: Names of the branches that are on.
        other: Take the embeddings of another person, of the same gender where the batch has one.
        floor: Draw nothing, but show the batch's own photos after a round trip through the backbone's autoencoder: what
            pictures could be at best.
        scale: λ of the branches.
        prior: Folder of a text prior, whose bodies are drawn in place of the references': samples for full captions,
            while the backbone is told no more than in other columns.
        temperature: Of these samples, see `BodyPrior.sample`.
        opposite: Whether guidance steers away from the opposite body; otherwise from nobody's.
    """

    name: str
    branches: list[str] = field(default_factory=list)
    other: bool = False
    floor: bool = False
    scale: float = 1.0
    prior: Path | None = None
    temperature: float = 1.0
    opposite: bool = True

    def __post_init__(self) -> None:
        if self.floor and (self.branches or self.other):
            raise BolidError(f"column {self.name}: a floor shows photos, so it takes neither branches nor `other`")
        if self.prior is not None and (self.other or "body" not in self.branches):
            raise BolidError(f"column {self.name}: a prior imagines bodies: it takes the body branch, no `other`")
        if self.prior is None and self.temperature != 1.0:
            raise BolidError(f"column {self.name}: a temperature is that of a prior's bodies: name the `prior`, too")


@dataclass
class Sampling:
    """How pictures are drawn in tests and sample grids.

    Attributes:
        steps: Denoising steps.
        guidance_scale: 1 is off.
        pictures: Of each prompt in tests, each from noise of its own.
        scheduler: Which of diffusers, by the name of its class; the backbone's own by default.
    """

    steps: int = 20
    guidance_scale: float = 3.0
    pictures: int = 1
    scheduler: str | None = None


class DrawingTask(BaseTask):
    """A frozen backbone with branches installed, which draws the captions of photos in every column and measures them.

    Args:
        backbone: The frozen model.
        branches: What is known about the person; each with its own dropout.
        columns: What a test draws.
        metrics: What a test measures, once per column.
        sampling: How it draws.
        kwargs: See `BaseTask`.
    """

    # Containers of branches and metrics, whose members mypy would take for mere Modules.
    branches: Any
    by_column: Any

    def __init__(
        self,
        backbone: Backbone,
        branches: list[Condition],
        columns: list[Column] | None = None,
        metrics: list[ImageMetric] | None = None,
        sampling: Sampling | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.backbone, self.branches = backbone, nn.ModuleList(branches)
        install_branches(backbone.unet, [b.projector(backbone.text_dim) for b in branches])
        self.columns = columns or [Column("text")]
        # A list, since names may hold a dot, which a ModuleDict refuses.
        self.by_column = nn.ModuleList(nn.ModuleList(m.clone() for m in metrics or []) for _ in self.columns)
        self.sampling = sampling or Sampling()
        if self.sampling.scheduler is not None:
            backbone.draw_with(self.sampling.scheduler)
        self.grid_batch: TrainingBatch | None = None
        self.recent: dict[str, list[Tensor]] = {}  # identity -> embeddings of the two people seen last
        self.drawn = 0  # photos this rank's test has drawn
        self.sheet: dict[str, SheetRow] = {}  # identity -> row

    @property
    def metrics(self) -> dict[str, Any]:
        """The columns' metrics by name."""
        return {column.name: metrics for column, metrics in zip(self.columns, self.by_column, strict=True)}

    def keep_for_grid(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Remembers the first photos of a validation for `sample_grid`."""
        if batch_idx == 0:
            self.grid_batch = batch[:GRID_PHOTOS]
        elif self.grid_batch is not None and len(self.grid_batch) < GRID_PHOTOS:
            self.grid_batch = TrainingBatch.cat([self.grid_batch, batch])[:GRID_PHOTOS]

    def draw(self, batch: TrainingBatch, column: Column, number: int = 0) -> Tensor:
        """The captions drawn the column's way: (B, 3, H, W) in 0..1.

        A photo's seed is the same in all columns, and another one for each `number` of a picture.
        """
        if column.floor:
            return self.round_trip(batch.pictures)
        embeds = [branch.embed(batch.references) for branch in self.branches]
        if column.other:
            others = self.of_others(batch, embeds)
            embeds = [o if b.personal else e for b, e, o in zip(self.branches, embeds, others, strict=True)]
        seeds = [self.seed + crc32((name + "+" * number).encode()) for name in batch.file_names]  # of 32 bits on a CPU
        if column.prior is not None:
            imagined = self.imagined(batch.full_captions, str(column.prior), seeds, column.temperature)
            embeds = [imagined if b.name == "body" else e for b, e in zip(self.branches, embeds, strict=True)]
        return self.pipeline.draw(
            batch.captions,
            embeds,
            [column.scale * (b.name in column.branches) for b in self.branches],
            seeds,
            num_inference_steps=self.sampling.steps,
            guidance_scale=self.sampling.guidance_scale,
            opposite=column.opposite,
            height=batch.pictures.shape[-2],
            width=batch.pictures.shape[-1],
        ).float()

    def imagined(self, captions: list[str], prior: str, seeds: list[int], temperature: float) -> Tensor:
        """Samples of c_body (B, d) from a text prior, one for each caption and its seed."""
        pipeline = self.pipeline
        people = pipeline.imagine(captions, prior, seeds, temperature)
        return pipeline.embeds(people)[[b.name for b in self.branches].index("body")]

    @torch.no_grad()
    def round_trip(self, pictures: Tensor) -> Tensor:
        """Photos (B, 3, H, W) in -1..1 through the autoencoder, as drawn pictures are decoded: the same in 0..1."""
        decoded = self.backbone.decode_latents(self.backbone.encode_pictures(pictures))
        return (decoded.float() * 0.5 + 0.5).clamp(0, 1)

    def of_others(self, batch: TrainingBatch, embeds: list[Tensor]) -> list[Tensor]:
        """For each sample the embeddings of another person: of the batch or, if it shows only one, of those before it.

        Raises:
            BolidError: If nobody else has been seen.
        """
        people = {identity: [e[i] for e in embeds] for i, identity in enumerate(batch.identities)}
        before = [e for identity, e in self.recent.items() if identity not in people]
        self.recent = dict([*((k, v) for k, v in self.recent.items() if k not in people), *people.items()][-2:])
        if len(people) > 1:
            rows = other_people(batch)
            return [e[rows] for e in embeds]
        if not before:
            raise BolidError(
                f"the `other` column needs another person, and the first batch shows only {batch.identities[0]}: "
                "raise data.batch_size to 2 or more, or leave columns with `other: true` out"
            )
        return [e.expand(len(batch), *e.shape) for e in before[-1]]

    @property
    def pipeline(self) -> BoLIDPipeline:
        """The networks of this task as a pipeline."""
        return BoLIDPipeline(self.backbone, list(self.branches))

    def test_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Draws every column and measures it; the first pictures go to the sheet."""
        for number in reversed(range(self.sampling.pictures)):
            drawn = {column.name: self.draw(batch, column, number) for column in self.columns}
            for name, pictures in drawn.items():
                for metric in self.metrics[name]:
                    metric.update(pictures, batch)
            self.drawn += len(batch)
        for identity, row in zip(batch.identities, sheet_rows(batch, drawn), strict=True):
            if len(self.sheet) < SHEET_PEOPLE:
                self.sheet.setdefault(identity, row)

    def on_test_start(self) -> None:
        """A new test starts afresh."""
        super().on_test_start()
        self.drawn, self.sheet, self.recent = 0, {}, {}
        for metric in chain.from_iterable(self.metrics.values()):
            metric.reset()

    def on_test_epoch_end(self) -> None:
        """Logs every metric as test/<metric>/<column>."""
        self.log_dict({f"test/{k}": v for k, v in self.report().metrics.items()})

    def report(self) -> Report:
        """What the test measured so far, on all ranks together; every rank must ask."""
        measured = [(name, metric) for name, metrics in self.metrics.items() for metric in metrics]
        values = {f"{key}/{name}": float(v) for name, metric in measured for key, v in metric.compute().items()}
        people = {
            name: {k: v for m in metrics for k, v in m.person_scores().items()}
            for name, metrics in self.metrics.items()
        }
        values |= intervals(people, comparisons(self.columns)) | body_gaps(people, self.columns)
        for name, metric in measured:
            for key, found in metric.other_intervals().items():
                values |= bounds(f"{key}/{name}", found)
        pictures = self.trainer.strategy.reduce(torch.tensor(self.drawn, device=self.device), reduce_op="sum")
        return Report(metrics=values, pictures=int(pictures), seed=self.seed, rows=list(self.sheet.values()))

    @torch.no_grad()
    def sample_grid(self) -> list[SheetRow]:
        """The first validation photos drawn in every column, always from the same noise; every rank must ask.

        Ranks share out the columns: drawn from the same batch everywhere, a picture does not depend on their number.
        """
        photos = first_photos(gather(self.grid_batch and self.grid_batch.to("cpu")))
        if photos is None:
            return []
        batch, alone = photos.to(self.device), len(set(photos.identities)) == 1  # no reason to end a fit
        columns = [c for c in self.columns if not (c.other and alone)]
        mine = columns[self.global_rank :: self.trainer.world_size]
        shares = gather({c.name: self.draw(batch, c).cpu() for c in mine})
        drawn = {name: pictures for share in shares for name, pictures in share.items()}
        return sheet_rows(photos, {c.name: drawn[c.name] for c in columns})

    def predict_step(self, batch: TrainingBatch, batch_idx: int) -> list[SheetRow]:
        """Draws the batch in every column."""
        return sheet_rows(batch, {c.name: self.draw(batch, c) for c in self.columns})


def comparisons(columns: list[Column]) -> list[tuple[str, str]]:
    """Pairs of columns whose difference is what being told something does.

    Each column that is told something, less those that are told nothing, or no more than it and of somebody else. A
    floor is neither: nobody drew it.
    """
    controls = [c for c in columns if (c.other or not c.branches) and not c.floor]
    own = [c for c in columns if c.branches and not c.other]
    return [(o.name, c.name) for o in own for c in controls if set(c.branches) <= set(o.branches)]


def body_gaps(scores: Mapping[str, Mapping[str, PersonScores]], columns: list[Column]) -> dict[str, float]:
    """`body_gap_closed/<column>` and its bounds, of the columns with branches: body shape's error from text to floor.

    Args:
        scores: Column -> metric -> its scores.
        columns: Without one for text only, a floor and body shape's error in `scores` there are no gaps.
    """
    errors = {name: metrics[SHAPE_ERROR] for name, metrics in scores.items() if SHAPE_ERROR in metrics}
    text = next((c.name for c in columns if not c.branches and not c.floor), None)
    floor = next((c.name for c in columns if c.floor), None)
    if text not in errors or floor not in errors:
        return {}
    found: dict[str, float] = {}
    for column in columns:
        if column.branches and (gap := gap_closed(errors[text], errors[column.name], errors[floor])):
            found |= with_bounds(f"body_gap_closed/{column.name}", gap)
    return found


def first_photos(shares: list[TrainingBatch | None]) -> TrainingBatch | None:
    """The first photos of a data set that was dealt out to the ranks one photo each in turn; None if there are none."""
    dealt = [share[k : k + 1] for k in range(GRID_PHOTOS) for share in shares if share is not None and k < len(share)]
    return TrainingBatch.cat(dealt[:GRID_PHOTOS]) if dealt else None


def other_people(batch: TrainingBatch) -> list[int]:
    """For each sample the next one of another person, of the same gender phrase where there is one.

    The batch must show two people at least.
    """
    count = len(batch)
    genders = [caption.split(",")[0] for caption in batch.full_captions]

    def stranger(row: int) -> int:
        others = [
            (row + k) % count for k in range(1, count) if batch.identities[(row + k) % count] != batch.identities[row]
        ]
        return next((o for o in others if genders[o] == genders[row]), others[0])

    return [stranger(row) for row in range(count)]


def sheet_rows(batch: TrainingBatch, drawn: dict[str, Tensor]) -> list[SheetRow]:
    """One row per sample: its references and the columns' pictures, all (3, H, W) in 0..1 on the CPU."""
    return [
        SheetRow(
            references=[
                (p * 0.5 + 0.5).cpu()
                for p, m in zip(batch.references.pictures[i], batch.references.mask[i], strict=True)
                if m
            ],
            columns={name: pictures[i].cpu() for name, pictures in drawn.items()},
            caption=batch.captions[i],
        )
        for i in range(len(batch))
    ]
