"""Stage 2: trains the identity branches of a frozen diffusion backbone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bolid.core.schema import PersonBatch
from bolid.losses.diffusion import diffusion_loss, min_snr_weight, noised, regression_target
from bolid.models.backbones import Backbone, TextCondition
from bolid.models.branches import FaceBranch, IdentityBranch
from bolid.tasks.drawing import DrawingTask


class AdapterTask(DrawingTask):
    """L_diff on the target photo, told its caption and who it is by the branches.

    Args:
        backbone: The frozen model.
        branches: What is known about the person; each with its own dropout.
        text_dropout: Share of samples in which only the caption is dropped.
        all_dropout: Share of samples in which everything is dropped.
        min_snr_gamma: γ of min-SNR weighting, None for none.
        kwargs: See `DrawingTask`.
    """

    def __init__(
        self,
        backbone: Backbone,
        branches: list[IdentityBranch],
        text_dropout: float = 0.05,
        all_dropout: float = 0.05,
        min_snr_gamma: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(backbone, branches, **kwargs)
        self.dropouts = [text_dropout, all_dropout, *(b.dropout for b in branches)]
        self.min_snr_gamma = min_snr_gamma

    def training_step(self, batch: PersonBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        loss = self.denoising_loss(batch, self.step_generator())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: PersonBatch, batch_idx: int) -> None:
        """The same loss with noise, timesteps and drops that depend only on the batch's number."""
        loss = self.denoising_loss(batch, self.generator(0, batch_idx))
        self.log("val/loss", loss, prog_bar=True, batch_size=len(batch), sync_dist=True)
        self.keep_for_grid(batch, batch_idx)

    def denoising_loss(self, batch: PersonBatch, generator: torch.Generator) -> Tensor:
        """L_diff with condition dropout: scalar."""
        scheduler = self.backbone.noise_scheduler
        latents = self.backbone.encode_pictures(batch.pictures)
        noisy, noise, timesteps = noised(scheduler, latents, generator)
        text, embeds = self.conditions(batch, generator)
        predicted = self.backbone.predict(noisy, timesteps, text, embeds, batch.time_ids)
        target = regression_target(scheduler, latents, noise, timesteps)
        weight = None if self.min_snr_gamma is None else min_snr_weight(scheduler, timesteps, self.min_snr_gamma)
        return diffusion_loss(predicted, target, weight)

    def conditions(self, batch: PersonBatch, generator: torch.Generator) -> tuple[TextCondition, list[Tensor]]:
        """Captions and embeddings, some dropped: exclusive, per sample. Embeddings (B, 1, E), zero where dropped."""
        lot = torch.rand(len(batch), generator=generator, device=self.device)
        edges = torch.tensor([0.0, *self.dropouts], device=self.device).cumsum(0)
        drop = [(lot >= low) & (lot < high) for low, high in pairwise(edges)]
        text = self.backbone.encode_prompt(batch.captions)
        text = text.where(~(drop[0] | drop[1]), self.backbone.encode_nothing())
        embeds = [branch.embed(batch, generator) for branch in self.branches]
        return text, [(e * ~(drop[1] | d)[:, None])[:, None] for e, d in zip(embeds, drop[2:], strict=True)]

    def export(self, folder: Path) -> None:
        """Writes one safetensors file per branch and the card `BoLIDPipeline.from_pretrained` reads."""
        for branch in self.branches:
            if isinstance(branch, FaceBranch):  # only the photos' manifest tells what embedded the faces
                branch.fingerprint = self.of_data("face_model", "") or branch.fingerprint
        self.pipeline.save_pretrained(folder)
