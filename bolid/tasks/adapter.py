"""Stage 2: trains the identity branches of a frozen diffusion backbone."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bolid.conditions import Condition, FaceCondition
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.losses.alignment import AlignmentLoss, attended
from bolid.losses.diffusion import diffusion_loss, lots, min_snr_weight, noised, person_weight, regression_target
from bolid.losses.picture import PictureLoss
from bolid.losses.x_gen import Denoising, Estimator
from bolid.models.backbones import Backbone, TextCondition
from bolid.tasks.drawing import DrawingTask
from bolid.tasks.once import OncePerPhoto, refuse_flips


class Conditions(NamedTuple):
    """What the UNet may be told of B samples, and what is dropped.

    Attributes:
        text: Captions.
        embeds: Per branch (B, 1, E).
        drop_text: (B,) bool.
        drop: Per branch (B,) bool.
    """

    text: TextCondition
    embeds: list[Tensor]
    drop_text: Tensor
    drop: list[Tensor]

    def kept(self, nothing: TextCondition) -> tuple[TextCondition, list[Tensor]]:
        """What is left: `nothing` in place of dropped captions, zeros in place of dropped embeddings."""
        left = [e * ~d[:, None, None] for e, d in zip(self.embeds, self.drop, strict=True)]
        return self.text.where(~self.drop_text, nothing), left

    @property
    def complete(self) -> Tensor:
        """(B,) bool, of which samples nothing is dropped."""
        return ~torch.stack([self.drop_text, *self.drop]).any(0)


class AdapterTask(DrawingTask):
    """L = L_diff + Σ_i w_i · L_i on the target photo, told its caption and who it is by the branches.

    Args:
        backbone: The frozen model.
        branches: What is known about the person; each with its own dropout.
        text_dropout: Share of samples in which only the caption is dropped.
        all_dropout: Share of samples in which everything is dropped.
        min_snr_gamma: γ of min-SNR weighting, None for none.
        noise_offset: See `noised`.
        shift: Of the timesteps towards pure noise, above 1; see `noised`. Bodies' outlines are decided at 600 to 850.
        person_weight: Extra weight of the person's latent cells; see `person_weight`.
        encode_once: Whether the latents of photos are kept in memory from epoch to epoch, for data that does not mirror
            them.
        x_gen: Makes the pictures that `losses` look at.
        losses: Terms that look at x_gen, such as L_id and L_CLIP.
        alignment: Term that keeps the branches from changing what the caption asks for; costs another UNet pass.
        strengths: What V of each branch is multiplied by in a warm start, as λ multiplies what it says.
        kwargs: See `DrawingTask`.

    Raises:
        BolidError: If losses lack an `x_gen`, or compare pictures of another pose than the photo's.
    """

    losses: Any

    def __init__(
        self,
        backbone: Backbone,
        branches: list[Condition],
        text_dropout: float = 0.05,
        all_dropout: float = 0.05,
        min_snr_gamma: float | None = None,
        noise_offset: float = 0.0,
        shift: float = 1.0,
        person_weight: float = 0.0,
        encode_once: bool = False,
        x_gen: Estimator | None = None,
        losses: list[PictureLoss] | None = None,
        alignment: AlignmentLoss | None = None,
        strengths: list[float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(backbone, branches, **kwargs)
        self.dropouts = [text_dropout, all_dropout, *(b.dropout for b in branches)]
        self.min_snr_gamma, self.noise_offset = min_snr_gamma, noise_offset
        self.shift, self.person_weight = shift, person_weight
        self.latents = OncePerPhoto() if encode_once else None
        self.strengths = strengths or [1.0] * len(branches)
        if len(self.strengths) != len(branches):
            raise BolidError(f"strengths: give {len(branches)} numbers, one for each branch, not {len(self.strengths)}")
        self.x_gen, self.losses, self.alignment = x_gen, nn.ModuleList(losses or []), alignment
        for loss in self.losses:
            if x_gen is None:
                raise BolidError(f"{type(loss).__name__} looks at pictures: set x_gen to OneStep or FewStep")
            if loss.needs_pose and not x_gen.shares_pose:
                raise BolidError(
                    f"{type(loss).__name__} compares with the photo, and {type(x_gen).__name__} draws other poses: set "
                    "x_gen to OneStep"
                )

    def warmed(self, state: dict[str, Any]) -> dict[str, Any]:
        """See `BaseTask.warmed`; branches speak as loudly as `strengths` say."""
        for number, strength in enumerate(self.strengths):
            state = state | {k: v * strength for k, v in state.items() if f"_v_ip.{number}." in k}
        return state

    def on_fit_start(self) -> None:
        """Refuses mirrored photos where latents are to be kept."""
        super().on_fit_start()
        if self.latents is not None:
            refuse_flips(self)

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        terms = self.terms(batch, self.step_generator(), self.global_step)
        loss = self.total(terms, self.global_step)
        self.log_dict({f"train/{name}": term for name, term in terms.items()})
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The same terms, fully grown, with noise, timesteps and drops that depend only on the batch's number."""
        terms = self.terms(batch, self.generator(0, batch_idx), inf)
        logged = {f"val/{name}": term for name, term in terms.items()} | {"val/loss": self.total(terms, inf)}
        self.log_dict(logged, batch_size=len(batch), sync_dist=True)
        self.keep_for_grid(batch, batch_idx)

    def total(self, terms: dict[str, Tensor], step: float) -> Tensor:
        """L: the terms, each by its weight in a step."""
        weights = {term.name: term.weight_at(step) for term in self.scheduled(step)}
        return sum((weights.get(name, 1.0) * term for name, term in terms.items()), torch.zeros((), device=self.device))

    def scheduled(self, step: float) -> list[Any]:
        """The terms beside L_diff that weigh something in a step."""
        candidates = [*self.losses, *([self.alignment] if self.alignment is not None else [])]
        return [term for term in candidates if term.weight_at(step) > 0]

    def terms(self, batch: TrainingBatch, generator: torch.Generator, step: float) -> dict[str, Tensor]:
        """L_diff with condition dropout, and what else weighs something in a step, each a scalar."""
        scheduler, active = self.backbone.noise_scheduler, self.scheduled(step)
        encode = self.backbone.encode_pictures
        latents = encode(batch.pictures) if self.latents is None else self.latents.of(batch, encode)
        noisy, noise, timesteps = noised(scheduler, latents, generator, self.shift, self.noise_offset, self.alike)
        conditions = self.conditions(batch, generator)
        predicted, alignment = self.predict(noisy, timesteps, conditions, batch.time_ids, self.alignment in active)
        target = regression_target(scheduler, latents, noise, timesteps)
        weight = self.weight(batch, latents, timesteps)
        away = [branch.opposite(e) for branch, e in zip(self.branches, conditions.embeds, strict=True)]
        known = conditions.complete, conditions.text, conditions.embeds, away, batch.time_ids, self.alike
        looking = [term for term in active if isinstance(term, PictureLoss)]
        judges = sum((term.judges(batch.captions).to(timesteps) for term in looking), torch.zeros_like(timesteps))
        pictures = self.picture_terms(looking, batch, Denoising(noisy, timesteps, predicted, judges, *known), generator)
        return {"diffusion": diffusion_loss(predicted, target, weight)} | alignment | pictures

    def weight(self, batch: TrainingBatch, latents: Tensor, timesteps: Tensor) -> Tensor:
        """How much each latent cell counts in L_diff: (B, 1, h, w)."""
        weight = person_weight(batch, latents, self.person_weight)
        if self.min_snr_gamma is None:
            return weight
        snr = min_snr_weight(self.backbone.noise_scheduler, timesteps, self.min_snr_gamma)
        return weight * snr[:, None, None, None]

    def predict(
        self, noisy: Tensor, timesteps: Tensor, conditions: Conditions, time_ids: Tensor, align: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The UNet's answer (B, C, h, w), and the alignment term if asked for."""
        text, embeds = conditions.kept(self.backbone.encode_nothing())
        if self.alignment is None or not align:
            return self.backbone.predict(noisy, timesteps, text, embeds, time_ids), {}
        with attended(self.backbone.unet) as told:
            predicted = self.backbone.predict(noisy, timesteps, text, embeds, time_ids)
        with torch.no_grad(), attended(self.backbone.unet) as plain:
            self.backbone.predict(noisy, timesteps, text, [torch.zeros_like(e) for e in embeds], time_ids)
        return predicted, {self.alignment.name: self.alignment(told, plain)}

    def picture_terms(
        self, looking: list[PictureLoss], batch: TrainingBatch, state: Denoising, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """What losses say of x_gen, each a scalar; 0 where no picture of the batch can be made.

        They are the same terms in every batch: ranks add them up.
        """
        if not looking or self.x_gen is None:
            return {}
        pictures, rows, noises = self.x_gen(self.backbone, state, generator)
        if not len(rows):  # networks that look at pictures want one at least
            return {term.name: pictures.sum() for term in looking}
        part = batch.take(rows)
        return {term.name: term(pictures, part, noises).mean() for term in looking}

    def conditions(self, batch: TrainingBatch, generator: torch.Generator) -> Conditions:
        """Captions and embeddings, and which are dropped: exclusive, per sample."""
        lot = lots(len(batch), generator, self.alike)
        edges = torch.tensor([0.0, *self.dropouts], device=self.device).cumsum(0)
        alone, together, *drop = [(lot >= low) & (lot < high) for low, high in pairwise(edges)]
        text = self.backbone.encode_prompt(batch.captions)
        embeds = [branch.embed(batch.references, generator)[:, None] for branch in self.branches]
        return Conditions(text, embeds, alone | together, [together | d for d in drop])

    def export(self, folder: Path) -> None:
        """Writes one safetensors file per branch and the card `BoLIDPipeline.from_pretrained` reads."""
        for branch in self.branches:
            if isinstance(branch, FaceCondition):  # only the photos' manifest tells what embedded the faces
                branch.fingerprint = self.of_data("face_model", "") or branch.fingerprint
        self.pipeline.save_pretrained(folder)
