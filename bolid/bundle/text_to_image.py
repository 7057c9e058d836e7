"""Trains the UNet of the bundle's Stable Diffusion from scratch, on a trained autoencoder and text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.losses.diffusion import diffusion_loss, person_weight
from bolid.models.backbones import Backbone
from bolid.models.noise import noised, regression_target, uniform
from bolid.tasks.base import BaseTask
from bolid.tasks.once import OncePerPhoto


class TextToImageTask(BaseTask):
    """L_diff with the captions dropped now and then.

    Args:
        backbone: An untrained backbone (see `new_stable_diffusion`); its autoencoder and its text encoder stay frozen.
        text_dropout: Share of samples without a caption.
        person_weight: Extra weight of the person's latent cells.
        shift: Shift of the timesteps towards pure noise if above 1; see `noised`.
        kwargs: See `BaseTask`.
    """

    def __init__(
        self,
        backbone: Backbone,
        text_dropout: float = 0.1,
        person_weight: float = 3.0,
        shift: float = 3.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.backbone, self.text_dropout = backbone, text_dropout
        self.person_weight, self.shift = person_weight, shift
        backbone.unet.requires_grad_(True).to(memory_format=torch.channels_last)
        self.latents = OncePerPhoto()  # the autoencoder is frozen

    def on_fit_start(self) -> None:
        """Chooses the quicker attention."""
        super().on_fit_start()
        if self.device.type == "cpu":  # there the fused attention's backward makes a step a quarter longer
            self.backbone.unet.set_attn_processor(AttnProcessor())

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        loss = self.loss(batch, self.step_generator())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The same loss with noise that depends only on the batch's number."""
        self.log(
            "val/loss",
            self.loss(batch, self.generator(0, batch_idx)),
            prog_bar=True,
            batch_size=len(batch),
            sync_dist=True,
        )

    def loss(self, batch: TrainingBatch, generator: torch.Generator) -> Tensor:
        """L_diff: scalar."""
        scheduler = self.backbone.noise_scheduler
        latents = self.encode(batch)
        noisy, noise, timesteps = noised(scheduler, latents, batch.groups, generator, self.shift)
        dropped = uniform(batch.groups, generator) < self.text_dropout
        captions = ["" if drop else caption for caption, drop in zip(batch.captions, dropped.tolist(), strict=True)]
        predicted = self.backbone.predict(noisy, timesteps, self.backbone.encode_prompt(captions), [], batch.time_ids)
        target = regression_target(scheduler, latents, noise, timesteps)
        return diffusion_loss(predicted, target, person_weight(batch, latents, self.person_weight))

    def encode(self, batch: TrainingBatch) -> Tensor:
        """The photos' latents (B, C, h, w), each view of one made once."""
        return self.latents.of(batch, self.backbone.encode_pictures)

    def export(self, folder: Path) -> None:
        """Writes the whole pipeline as a diffusers folder."""
        self.backbone.pipeline.save_pretrained(folder)
