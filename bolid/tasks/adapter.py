"""Stage 2: trains the conditions of a frozen diffusion backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import inf
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.names import named
from bolid.core.schema import TrainingBatch
from bolid.core.trained_on import IDENTITIES, TrainedOn
from bolid.evaluation.evaluator import Evaluator
from bolid.evaluation.grid import FirstPhotos
from bolid.evaluation.protocol import TEXT_ALONE, Evaluation
from bolid.evaluation.results import Report, SheetRow
from bolid.losses.alignment import AlignmentLoss, attended
from bolid.losses.base import ImageLoss, Loss
from bolid.losses.diffusion import diffusion_loss, person_weight
from bolid.losses.x_gen import Denoising, Estimator
from bolid.models.attention import install_conditions
from bolid.models.backbones import Backbone
from bolid.models.noise import min_snr_weight, noised, regression_target, uniform
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.tasks.base import BaseTask
from bolid.tasks.checks import check_losses, check_starts
from bolid.tasks.coverage import Part
from bolid.tasks.diffusion import AS_PUBLISHED, DiffusionSpec, Inputs
from bolid.tasks.once import OncePerPhoto


class AdapterTask(BaseTask):
    """L = L_diff + Σ_i w_i · L_i on the target photo, given its caption and the conditions of its references.

    Args:
        backbone: The frozen model.
        conditions: Conditions by name, each with its own dropout.
        diffusion: Dropout, timestep and weighting of L_diff.
        losses: Further terms by name, such as L_id and L_CLIP on x_gen.
        x_gen: Estimates the images x_gen that image losses score.
        evaluation: Methods and metrics of tests.
        optimizer: See `BaseTask`, as the rest.

    Raises:
        BolidError: If a name is invalid, image losses lack an `x_gen`, or compare with the photo images of another
            pose.
    """

    conditions: Any  # ModuleDict; mypy takes its values for plain Modules
    losses: Any

    def __init__(
        self,
        backbone: Backbone,
        conditions: dict[str, Condition | None],
        diffusion: DiffusionSpec = AS_PUBLISHED,
        losses: dict[str, Loss | None] | None = None,
        x_gen: Estimator | None = None,
        evaluation: Evaluation = TEXT_ALONE,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        init_from: Path | None = None,
        seed: int = 0,
    ):
        super().__init__(optimizer, scheduler, init_from, seed)
        self.backbone, self.conditions = backbone, nn.ModuleDict(named(conditions, "conditions"))
        self.losses, self.x_gen = nn.ModuleDict(named(losses, "losses")), x_gen
        check_losses(self.losses, x_gen)
        self.dropouts = [diffusion.text_dropout, diffusion.all_dropout, *(c.dropout for c in self.conditions.values())]
        if min(self.dropouts) < 0 or sum(self.dropouts) > 1:
            raise BolidError(f"dropouts are exclusive shares and must add up to at most 1: {self.dropouts}")
        install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in self.conditions.values()])
        self.diffusion, self.latents = diffusion, OncePerPhoto() if diffusion.cache_latents else None
        self.trained_on: TrainedOn | None = None
        self.evaluator, self.first = Evaluator(evaluation, self.pipeline, seed), FirstPhotos()

    @property
    def frozen_dtype(self) -> str:
        """See `BaseTask.frozen_dtype`."""
        return str(self.backbone.dtype).removeprefix("torch.")

    @property
    def pipeline(self) -> BoLIDPipeline:
        """The networks of this task as a pipeline."""
        return BoLIDPipeline(self.backbone, dict(self.conditions.items()))

    def warm_start(self) -> None:
        """See `BaseTask.warm_start`; compares the face recogniser with that of the photos' manifest."""
        if (data := self.data) is not None:
            for condition in self.conditions.values():
                if condition.reads_faces:
                    condition.check_fingerprint(data.face_model, f"what embedded the faces of {data.folder}")
                    condition.fingerprint = data.face_model or condition.fingerprint
        super().warm_start()

    def load_exported(self, folder: Path) -> None:
        """See `BaseTask.load_exported`."""
        self.trained_on = self.pipeline.load_weights(folder)

    def on_train_start(self) -> None:
        """See `BaseTask.on_train_start`; records the training data for the adapter's card."""
        super().on_train_start()
        check_starts(self.losses, self.trainer.max_steps)
        if self.data is not None:
            self.trained_on = TrainedOn.of({r.identity for r in self.data.splits["train"]}, self.trained_on)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `BaseTask.on_save_checkpoint`; adds the record of the training data."""
        super().on_save_checkpoint(checkpoint)
        checkpoint[IDENTITIES] = None if self.trained_on is None else self.trained_on.written()

    def take_rest(self, checkpoint: Mapping[str, Any]) -> None:
        """See `BaseTask.take_rest`."""
        self.trained_on = TrainedOn.read(checkpoint.get(IDENTITIES))

    def parts(self) -> dict[str, Part]:
        """See `BaseTask.parts`: losses and conditions."""
        found = {
            f"losses.{k}": Part(loss.can_score, loss.needs, f"losses.{k} to null") for k, loss in self.losses.items()
        }
        for name, condition in self.conditions.items():
            place, needs = f"conditions.{name}", "references that show what it reads"
            found[place] = Part(partial(knows, condition), needs, f"{place} to null")
        if self.diffusion.person_weight:
            place, needs = "diffusion.person_weight", "photos with silhouettes"
            found[place] = Part(attrgetter("silhouette_known"), needs, f"{place} to 0")
        return found

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """L of a batch: scalar; logs every term."""
        terms = self.terms(batch, self.step_generator(), self.global_step)
        loss = self.total(terms, self.global_step)
        self.log_dict({f"train/{name}": term for name, term in terms.items()})
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Logs the terms at full weight, with noise, timesteps and dropout seeded by the batch index."""
        terms = self.terms(batch, self.generator(0, batch_idx), inf)
        logged = {f"val/{name}": term for name, term in terms.items()} | {"val/loss": self.total(terms, inf)}
        self.log_dict(logged, batch_size=len(batch), sync_dist=True)
        self.first.add(batch, batch_idx)

    def total(self, terms: dict[str, Tensor], step: float) -> Tensor:
        """L: the sum of the terms by their weights at `step`."""
        weights = {name: loss.weight_at(step) for name, loss in self.active(step).items()}
        return sum((weights.get(name, 1.0) * term for name, term in terms.items()), torch.zeros((), device=self.device))

    def active(self, step: float) -> dict[str, Any]:
        """The losses besides L_diff with a nonzero weight at `step`, by name."""
        return {name: loss for name, loss in self.losses.items() if loss.weight_at(step) > 0}

    def terms(self, batch: TrainingBatch, generator: torch.Generator, step: float) -> dict[str, Tensor]:
        """L_diff with condition dropout, and the losses active at `step`, each a scalar."""
        scheduler, active, spec = self.backbone.noise_scheduler, self.active(step), self.diffusion
        encode = self.backbone.encode_pictures
        latents = encode(batch.pictures) if self.latents is None else self.latents.of(batch, encode)
        mixed = noised(scheduler, latents, batch.groups, generator, spec.shift, spec.noise_offset)
        noisy, noise, timesteps = mixed
        inputs = self.inputs(batch, generator)
        aligning = {name: loss for name, loss in active.items() if isinstance(loss, AlignmentLoss)}
        predicted, aligned = self.predict(noisy, timesteps, inputs, batch.time_ids, aligning)
        target = regression_target(scheduler, latents, noise, timesteps)
        loss = diffusion_loss(predicted, target, self.weight(batch, latents, timesteps))
        scoring = {name: loss for name, loss in active.items() if isinstance(loss, ImageLoss)}
        seen = self.image_terms(scoring, batch, inputs, (noisy, timesteps, predicted), generator)
        return {"diffusion": loss} | aligned | seen

    def weight(self, batch: TrainingBatch, latents: Tensor, timesteps: Tensor) -> Tensor:
        """Weight of each latent cell in L_diff: (B, 1, h, w)."""
        weight, gamma = person_weight(batch, latents, self.diffusion.person_weight), self.diffusion.min_snr_gamma
        if gamma is None:
            return weight
        return weight * min_snr_weight(self.backbone.noise_scheduler, timesteps, gamma)[:, None, None, None]

    def predict(
        self, noisy: Tensor, timesteps: Tensor, inputs: Inputs, time_ids: Tensor, aligning: dict[str, AlignmentLoss]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The UNet's prediction (B, C, h, w), and the alignment terms."""
        text, embeds = inputs.kept(self.backbone.encode_nothing())
        if not aligning:
            return self.backbone.predict(noisy, timesteps, text, embeds, time_ids), {}
        with attended(self.backbone.unet) as conditioned:
            predicted = self.backbone.predict(noisy, timesteps, text, embeds, time_ids)
        # The unconditioned pass is the target, which gets no gradient.
        with torch.no_grad(), attended(self.backbone.unet) as plain:
            self.backbone.predict(noisy, timesteps, text, [torch.zeros_like(e) for e in embeds], time_ids)
        return predicted, {name: loss(conditioned, plain) for name, loss in aligning.items()}

    def image_terms(
        self,
        scoring: dict[str, ImageLoss],
        batch: TrainingBatch,
        inputs: Inputs,
        denoised: tuple[Tensor, Tensor, Tensor],
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The image losses of x_gen, each a scalar: the mean over its images, where images that cannot be scored count
        0.

        Every batch gives the same keys, since ranks are averaged.
        """
        if not scoring or self.x_gen is None:
            return {}
        can = {name: loss.can_score(batch).to(self.device) for name, loss in scoring.items()}
        opposites = [c.opposite(e) for c, e in zip(self.conditions.values(), inputs.embeds, strict=True)]
        state = Denoising(
            *denoised,
            scorable=torch.stack(list(can.values())).sum(0),
            complete=inputs.complete,
            text=inputs.text,
            embeds=inputs.embeds,
            opposites=opposites,
            time_ids=batch.time_ids,
            groups=batch.groups,
        )
        images, rows = self.x_gen(self.backbone, state, generator)
        return {name: self.image_term(loss, images, rows, can[name], batch) for name, loss in scoring.items()}

    def image_term(self, loss: ImageLoss, images: Tensor, rows: Tensor, can: Tensor, batch: TrainingBatch) -> Tensor:
        """One loss of the images (n, 3, H, W) of the rows (n,); `can` (B,) marks the samples that it can score."""
        scored = can[rows]
        if not scored.any():  # vision networks need at least one image
            # Zero times the images keeps the graph: DDP expects gradients of all parameters on every rank.
            return 0.0 * images.sum()
        part = batch.take(rows[scored])
        return loss(images[scored], part, part.groups).sum() / len(rows)

    def inputs(self, batch: TrainingBatch, generator: torch.Generator) -> Inputs:
        """Captions, embeddings and dropout masks; the kinds of dropout exclude each other and are sampled per group."""
        # One uniform number per group selects at most one kind of dropout.
        sampled = uniform(batch.groups, generator)
        edges = torch.tensor([0.0, *self.dropouts], device=self.device).cumsum(0)
        alone, together, *drop = [(sampled >= low) & (sampled < high) for low, high in pairwise(edges)]
        text = self.backbone.encode_prompt(batch.captions)
        embeds = [condition.embed(batch.references, generator)[:, None] for condition in self.conditions.values()]
        return Inputs(text, embeds, alone | together, [together | d for d in drop])

    def on_test_start(self) -> None:
        """Resets the evaluator, which checks the methods before anything is generated."""
        super().on_test_start()
        self.evaluator.begin(samples_of(self.trainer.test_dataloaders))

    def test_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Generates images by every method and updates the metrics."""
        self.evaluator.update(batch)

    def on_test_epoch_end(self) -> None:
        """Logs every metric as test/<metric>/<method>."""
        self.log_dict({f"test/{name}": value for name, value in self.report().metrics.items()})

    def report(self) -> Report:
        """The report of the test so far; see `Evaluator.report`."""
        return self.evaluator.report()

    def sample_grid(self) -> list[SheetRow]:
        """The first validation photos by every method; see `Evaluator.grid`. Every rank must call it."""
        photos = self.first.gathered()
        if photos is None:
            return []
        return self.evaluator.grid(photos.to(self.device), self.global_rank, self.trainer.world_size)

    def on_predict_start(self) -> None:
        """See `on_test_start`."""
        super().on_predict_start()
        self.evaluator.begin(samples_of(self.trainer.predict_dataloaders))

    def predict_step(self, batch: TrainingBatch, batch_idx: int) -> list[SheetRow]:
        """Generates the batch's prompts by every method."""
        return self.evaluator.rows(batch)

    def export(self, folder: Path) -> None:
        """Writes the adapter that `BoLIDPipeline.from_pretrained` loads, with the record of its training data."""
        self.pipeline.save_pretrained(folder, self.trained_on)


def knows(condition: Condition, batch: TrainingBatch) -> Tensor:
    """(B,) bool: whether the references of each sample show what the condition encodes."""
    return condition.known(batch.references)


def samples_of(loaders: Any) -> Sequence[TrainingBatch]:
    """The dataset of a loader, or of the first of several."""
    loader = loaders[0] if isinstance(loaders, list | tuple) else loaders
    return loader.dataset
