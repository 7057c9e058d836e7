"""x_gen: the picture that a step would draw, for losses that look at pictures, with its gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from diffusers import DDIMScheduler, SchedulerMixin
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bolid.losses.diffusion import for_each
from bolid.models.backbones import Backbone, TextCondition


class Denoising(NamedTuple):
    """One training step's state: B samples.

    Attributes:
        noisy: z_t (B, C, h, w).
        timesteps: (B,).
        predicted: The UNet's answer, (B, C, h, w).
        judges: (B,) how many losses can tell something of each one's picture.
        complete: (B,) bool, whether it was told the caption and all that is known of the person.
        text: All captions, none dropped.
        embeds: Per branch (B, 1, E), none dropped.
        negatives: Per branch (B, 1, E), what guidance steers away from.
        time_ids: (B, 6), see `TrainingBatch`.
        alike: How many neighbours are to be drawn from the same noise.
    """

    noisy: Tensor
    timesteps: Tensor
    predicted: Tensor
    judges: Tensor
    complete: Tensor
    text: TextCondition
    embeds: list[Tensor]
    negatives: list[Tensor]
    time_ids: Tensor
    alike: int = 1


class Generated(NamedTuple):
    """Pictures (n, 3, H, W) in 0..1, of which samples of the batch they are, and which noise each is from, (n,)."""

    pictures: Tensor
    rows: Tensor
    noises: Tensor


class Estimator(ABC):
    """Makes x_gen.

    Args:
        most: Pictures of a batch at most, first those that most losses can judge: they take time and memory.
        recompute: Whether the decoder runs again on the way back in place of keeping what it computed.
        shares_pose: Whether a picture shows the target photo's own pose and place.
    """

    shares_pose: bool

    def __init__(self, most: int | None = None, recompute: bool = False):
        self.most, self.recompute = most, recompute

    @abstractmethod
    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Clean latents (n, C, h, w) and the rows (n,) of the batch that they are of."""

    def chosen(self, rows: Tensor, judges: Tensor) -> Tensor:
        """At most `most` of the rows (n,), in their order."""
        return rows[judges[rows].argsort(descending=True, stable=True)[: self.most].sort().values]

    def __call__(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> Generated:
        """The pictures, with gradients to what the UNet's branches learn."""
        latents, rows = self.latents(backbone, state, generator)
        if not len(rows):  # which no attention can reshape
            size = (side * backbone.latent_scale for side in latents.shape[2:])
            return Generated(latents.new_zeros(0, 3, *size), rows, rows)
        if self.recompute and latents.requires_grad:
            decoded = checkpoint(backbone.decode_latents, latents, use_reentrant=False)
        else:
            decoded = backbone.decode_latents(latents)
        return Generated((decoded.float() * 0.5 + 0.5).clamp(0, 1), rows, rows // state.alike)


class OneStep(Estimator):
    """x̂_0 straight from z_t, of the samples whose z_t still tells what the picture shows.

    Args:
        below: Only timesteps below this count, out of the scheduler's (usually 1000): later x̂_0 is a blur.
        most: See `Estimator`, as `recompute`.
    """

    shares_pose = True

    def __init__(self, below: int = 500, most: int | None = None, recompute: bool = False):
        super().__init__(most, recompute)
        self.below = below

    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Estimator.latents`."""
        rows = self.chosen(torch.nonzero((state.timesteps < self.below) & state.complete)[:, 0], state.judges)
        part = (values[rows] for values in (state.noisy, state.timesteps, state.predicted))
        return clean_latents(backbone.noise_scheduler, *part), rows


class FewStep(Estimator):
    """A whole deterministic drawing from pure noise in N steps, gradients through the last k.

    Opposites are drawn from the same noise, so that what differs between their pictures is due to the body.

    The Lightning branch: with a distilled UNet few steps are enough (Guo et al. 2024, PuLID).

    Args:
        steps: N.
        last: k.
        guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off. A UNet that was not distilled draws a blur
            without.
        most: See `Estimator`, as `recompute`.
    """

    shares_pose = False

    def __init__(
        self,
        steps: int = 4,
        last: int = 1,
        guidance_scale: float = 1.0,
        most: int | None = None,
        recompute: bool = False,
    ):
        super().__init__(most, recompute)
        self.steps, self.last, self.guidance_scale = steps, last, guidance_scale

    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Estimator.latents`."""
        told = self.chosen(torch.arange(len(state.noisy), device=state.noisy.device), state.judges)
        scheduler = DDIMScheduler.from_config(backbone.pipeline.scheduler.config)  # deterministic, a UNet pass a step
        scheduler.set_timesteps(self.steps, device=state.noisy.device)
        text = state.text.take(told)
        embeds, negatives = ([e[told] for e in kind] for kind in (state.embeds, state.negatives))
        time_ids = state.time_ids[told]
        shape, place = state.noisy[told].shape, state.noisy.device
        guided, told_away = self.guidance_scale > 1, any(bool(e.any()) for e in negatives)
        if guided:
            nothing = text.where(torch.zeros(shape[0], dtype=torch.bool, device=place), backbone.encode_nothing())
        noise = torch.randn(-(-len(state.noisy) // state.alike), *shape[1:], generator=generator, device=place)
        latents = for_each(noise, len(state.noisy), state.alike)[told] * scheduler.init_noise_sigma
        for number, timestep in enumerate(scheduler.timesteps):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.steps - self.last):
                shown = scheduler.scale_model_input(latents, timestep)
                predicted = backbone.predict(shown, timestep, text, embeds, time_ids).float()
                if guided:
                    with torch.set_grad_enabled(torch.is_grad_enabled() and told_away):
                        free = backbone.predict(shown, timestep, nothing, negatives, time_ids).float()
                    predicted = free + self.guidance_scale * (predicted - free)
                latents = scheduler.step(predicted, timestep, latents).prev_sample
        return latents, told


def clean_latents(scheduler: SchedulerMixin, noisy: Tensor, timesteps: Tensor, predicted: Tensor) -> Tensor:
    """x̂_0 of z_t = √ᾱ x_0 + √(1 − ᾱ) ε and the UNet's answer, ε, v or x_0: (B, C, h, w), in float32."""
    alphas = scheduler.alphas_cumprod.to(noisy.device)[timesteps][:, None, None, None].float()
    noisy, predicted = noisy.float(), predicted.float()
    return {
        "epsilon": lambda: (noisy - (1 - alphas).sqrt() * predicted) / alphas.sqrt(),
        "v_prediction": lambda: alphas.sqrt() * noisy - (1 - alphas).sqrt() * predicted,
        "sample": lambda: predicted,
    }[scheduler.config.prediction_type]()
