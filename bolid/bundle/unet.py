"""Trains the UNet of the embedded world's Stable Diffusion on latents that are kept on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.latent_store import LatentStore
from bolid.bundle.metrics.renoising import Renoising
from bolid.bundle.noise_levels import NoiseLevels
from bolid.bundle.prompt_words import PromptDraw
from bolid.bundle.representation import RepresentationAlignment
from bolid.bundle.views import PhotoView, whole_view
from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import SheetRow
from bolid.losses.diffusion import diffusion_loss
from bolid.metrics.base import real_pictures
from bolid.models.backbones import Backbone
from bolid.models.noise import one_per_group, regression_target, uniform
from bolid.tasks.base import BaseTask

EVEN, PROMPTS = NoiseLevels(shift=1.0), PromptDraw()
GUIDANCE, STEPS, SHOWN = 5.0, 20, 16  # of the sample sheet


@dataclass(frozen=True)
class CellWeights:
    """Extra weights of latent cells, beside 1 for all: limbs and faces are small.

    Attributes:
        person: Weight of cells that the person fills.
        head: Weight of the head's cells, added to the person's.
    """

    person: float = 3.0
    head: float = 0.0

    def of(self, view: PhotoView, latents: Tensor) -> Tensor:
        """(B, 1, h, w) with a mean of 1 in each photo, for latents (B, C, h, w)."""
        person, head = (F.interpolate(mask, latents.shape[2:], mode="area") for mask in (view.person, view.head))
        weight = 1 + self.person * person + self.head * head
        return weight / weight.mean((1, 2, 3), keepdim=True)


class UNetTask(BaseTask):
    """L_diff from scratch with captions dropped now and then.

    Args:
        backbone: An untrained backbone (see `new_stable_diffusion`); its autoencoder and its text encoder stay frozen.
        latents: Folder in which the photos' latents are kept.
        levels: Distribution of timesteps.
        weights: Weights of the latent cells.
        alignment: With a frozen network's features, early in the fit; null: none.
        prompts: Dropout and extension of captions.
        kwargs: See `BaseTask`.
    """

    def __init__(
        self,
        backbone: Backbone,
        latents: Path,
        levels: NoiseLevels = EVEN,
        weights: CellWeights = CellWeights(),
        alignment: RepresentationAlignment | None = None,
        prompts: PromptDraw = PROMPTS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.backbone, self.levels, self.weights = backbone, levels, weights
        self.alignment, self.prompts = alignment, prompts
        self.store = LatentStore(Path(latents), backbone.vae, backbone.encode_pictures)
        backbone.unet.requires_grad_(True)
        if alignment is not None:
            alignment.watch(backbone.unet)
        self.score: Renoising | None = None
        self.captions: list[str] = []  # of a validation, for `sample_grid`

    @property
    def progress(self) -> float:
        """Share of the fit's steps that are done, 0..1."""
        return self.global_step / self._trainer.max_steps if self._trainer else 0.0

    def on_fit_start(self) -> None:
        """Chooses the quicker attention."""
        super().on_fit_start()
        if self.device.type == "cpu":  # there the fused attention's backward makes a step a quarter longer
            self.backbone.unet.set_attn_processor(AttnProcessor())

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        loss, terms = self.loss(batch, self.step_generator())
        self.log_dict({f"train/{name}": value for name, value in terms.items()}, prog_bar=True)
        return loss

    def loss(self, batch: TrainingBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its terms by name, scalars."""
        latents, scheduler = self.store.of(batch.pictures), self.backbone.noise_scheduler
        noise, timesteps = self.sample_noise(latents, batch.groups, generator)
        noisy = scheduler.add_noise(latents, noise, timesteps)
        text = self.backbone.encode_prompt(self.prompts.of(batch.captions, uniform(batch.groups, generator).tolist()))
        predicted = self.backbone.predict(noisy, timesteps, text, [], batch.time_ids)
        target = regression_target(scheduler, latents, noise, timesteps)
        terms = {"loss": diffusion_loss(predicted, target, self.weights.of(whole_view(batch), latents))}
        if self.alignment is not None and self.training and self.progress < self.alignment.until:
            terms["alignment"] = self.alignment.loss(batch.pictures)
        return torch.stack(list(terms.values())).sum(), terms

    def sample_noise(self, latents: Tensor, groups: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Noise like latents (B, C, h, w) and timesteps (B,), the same within a group (B,) of ids."""
        steps = self.backbone.noise_scheduler.config

        def standard(count: int) -> Tensor:
            return torch.randn((count, *latents.shape[1:]), generator=generator, device=latents.device)

        noise = one_per_group(standard, groups)
        draw = partial(
            self.levels.draw, timesteps=steps.num_train_timesteps, progress=self.progress, generator=generator
        )
        return noise, one_per_group(draw, groups)

    def on_validation_epoch_start(self) -> None:
        """Starts afresh."""
        self.score, self.captions = Renoising(self.backbone).to(self.device), []

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The loss, with noise that depends only on the batch's number; the first batch is noised and denoised."""
        _, terms = self.loss(batch, self.generator(0, batch_idx))
        self.log("val/loss", terms["loss"], prog_bar=True, batch_size=len(batch), sync_dist=True)
        if self.score is not None and batch_idx == 0:
            self.score.update(real_pictures(batch), batch)
        self.captions += batch.full_captions[: SHOWN - len(self.captions)]

    def on_validation_epoch_end(self) -> None:
        """Logs every number as val/<metric>."""
        if self.score is not None:
            self.log_dict({f"val/{name}": value for name, value in self.score.compute().items()})
        self.score = None

    def sample_grid(self) -> list[SheetRow]:
        """Images generated from the validation's captions, always from the same noise."""
        if not self.captions:
            return []
        images = self.backbone.pipeline(
            self.captions, guidance_scale=GUIDANCE, num_inference_steps=STEPS, output_type="pt",
            generator=torch.Generator().manual_seed(self.seed),
        ).images  # fmt: skip
        return [SheetRow([], {"": image}, text) for image, text in zip(images.cpu(), self.captions, strict=True)]

    def export(self, folder: Path) -> None:
        """Writes the whole pipeline as a diffusers folder."""
        self.backbone.pipeline.save_pretrained(folder)
