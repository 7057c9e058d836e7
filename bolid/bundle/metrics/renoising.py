"""Re-noising: quality of a UNet's denoising at each noise level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from bolid.bundle.metrics.sharpness import fine_structure
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision

LEVELS = (100, 200, 400, 600, 800)


class Renoising(ImageMetric):
    """Photos' latents are noised to t and denoised by DDIM with the caption, without guidance.

    Low levels show whether fine structure is finished, high ones what the caption alone decides.

    Args:
        backbone: Backbone with the UNet to evaluate.
        levels: Timesteps t below 1000.
        steps: DDIM steps over all 1000 timesteps.
        seed: Seed of the noise.
    """

    describes = {
        "renoised": Description("against the round trip", "higher", "dB"),
        "renoised_sharpness": Description("0 or more; as the round trip: 1"),
    }
    higher_is_better = True
    error: Tensor  # sums: squared error of each level, and how many values
    power: Tensor  # above half the Nyquist frequency: of each level's images, then of the round trips
    values: Tensor

    def __init__(self, backbone: Any, levels: Sequence[int] = LEVELS, steps: int = 50, seed: int = 0) -> None:
        super().__init__()
        self._backbone = [backbone]  # in a list: it is trained by its owner
        self.levels, self.seed = tuple(levels), seed
        self.scheduler = DDIMScheduler.from_config(backbone.noise_scheduler.config, timestep_spacing="trailing")
        self.scheduler.set_timesteps(steps)
        self.add_sum("error", len(self.levels))
        self.add_sum("power", len(self.levels) + 1)
        self.add_sum("values")

    @full_precision
    @torch.no_grad()
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds photos (B, 3, H, W) in 0..1 with the batch's full captions."""
        backbone = self._backbone[0]
        latents, text = backbone.encode_pictures(pictures * 2 - 1), backbone.encode_prompt(batch.full_captions)
        trips = self._decode(latents)
        self.power[-1] += fine_structure(trips).square().double().sum()
        self.values += trips.numel()
        for k, level in enumerate(self.levels):
            images = self._decode(self._denoise(latents, level, text, batch.time_ids))
            self.error[k] += (images - trips).square().double().sum()
            self.power[k] += fine_structure(images).square().double().sum()

    def compute(self) -> dict[str, Tensor]:
        """`renoised/<t>` in dB against the round trip, and `renoised_sharpness/<t>`, 1 where it is as sharp."""
        psnr, sharpness = -10 * (self.error / self.values).log10(), self.power[:-1] / self.power[-1]
        found = {f"renoised/{t}": value.float() for t, value in zip(self.levels, psnr, strict=True)}
        return found | {f"renoised_sharpness/{t}": x.float() for t, x in zip(self.levels, sharpness, strict=True)}

    def _denoise(self, latents: Tensor, level: int, text: Any, time_ids: Tensor) -> Tensor:
        timesteps = [t for t in self.scheduler.timesteps if t < level]
        generator = torch.Generator(latents.device).manual_seed(self.seed)
        noise = torch.randn(latents.shape, generator=generator, device=latents.device)
        noisy = self.scheduler.add_noise(latents, noise, timesteps[0])
        for t in timesteps:
            predicted = self._backbone[0].predict(noisy, t.expand(len(noisy)).to(noisy.device), text, [], time_ids)
            noisy = self.scheduler.step(predicted, t, noisy).prev_sample
        return noisy

    def _decode(self, latents: Tensor) -> Tensor:
        return (self._backbone[0].decode_latents(latents).float() * 0.5 + 0.5).clamp(0, 1)
