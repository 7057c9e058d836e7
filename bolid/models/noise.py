"""Noise schedule: noised latents, regression targets, and estimates of clean latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, SchedulerMixin
from torch import Tensor

from bolid.core.errors import BolidError


def regression_target(scheduler: SchedulerMixin, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """The regression target ε, v or x_0 by the scheduler's `prediction_type`. Shapes (B, C, h, w)."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    if kind == "sample":
        return latents
    raise ValueError(f"unknown prediction_type {kind!r}")


def clean_latents(scheduler: SchedulerMixin, noisy: Tensor, timesteps: Tensor, predicted: Tensor) -> Tensor:
    """x̂_0 of z_t = √ᾱ x_0 + √(1 − ᾱ) ε and the UNet's prediction of ε, v or x_0: (B, C, h, w), in float32."""
    alphas = scheduler.alphas_cumprod.to(noisy.device)[timesteps][:, None, None, None].float()
    noisy, predicted = noisy.float(), predicted.float()
    return {
        "epsilon": lambda: (noisy - (1 - alphas).sqrt() * predicted) / alphas.sqrt(),
        "v_prediction": lambda: alphas.sqrt() * noisy - (1 - alphas).sqrt() * predicted,
        "sample": lambda: predicted,
    }[scheduler.config.prediction_type]()


def min_snr_weight(scheduler: SchedulerMixin, timesteps: Tensor, gamma: float) -> Tensor:
    """Min-SNR-γ weight of each sample (Hang et al. 2023): min(SNR, γ)/SNR for ε, min(SNR, γ)/(SNR + 1) for v: (B,)."""
    alphas = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    snr = alphas / (1 - alphas)
    clipped = snr.clamp_max(gamma)
    kind = scheduler.config.prediction_type
    return {"epsilon": clipped / snr.clamp_min(1e-8), "v_prediction": clipped / (snr + 1), "sample": clipped}[kind]


def noised(
    scheduler: SchedulerMixin,
    latents: Tensor,
    groups: Tensor,
    generator: torch.Generator,
    shift: float = 1.0,
    offset: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Samples noise and timesteps: returns z_t (B, C, h, w), the noise, the timesteps (B,).

    Timesteps are uniform and stratified over the n groups of a batch, which reduces the variance of the loss (Kingma et
    al. 2021, appendix I.1).

    Args:
        scheduler: Scheduler of the model.
        latents: (B, C, h, w).
        groups: (B,) group ids; samples of one group get the same noise and timestep.
        generator: Generator on the latents' device.
        shift: Maps a relative timestep u to s·u / (1 + (s - 1)·u); above 1 it shifts timesteps towards pure noise
            (Esser et al. 2024, equation 23), where the caption and the conditions alone determine the image.
        offset: Standard deviation of additional noise that is constant over a channel, so that the mean brightness of
            images is learned, too.
    """
    steps = scheduler.config.num_train_timesteps
    where: dict[str, Any] = {"generator": generator, "device": latents.device}

    def noise_of(count: int) -> Tensor:
        shape = (count, *latents.shape[1:])
        noise = torch.randn(shape, dtype=latents.dtype, **where)
        return noise + offset * torch.randn((*shape[:2], 1, 1), dtype=latents.dtype, **where) if offset else noise

    def timesteps_of(count: int) -> Tensor:
        parts = torch.randperm(count, **where)
        share = (parts + torch.rand(count, **where)) / count
        share = shift * share / (1 + (shift - 1) * share)
        return (share * steps).long().clamp_max(steps - 1)

    noise, timesteps = one_per_group(noise_of, groups), one_per_group(timesteps_of, groups)
    return scheduler.add_noise(latents, noise, timesteps), noise, timesteps


def uniform(groups: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform random numbers in 0..1 per sample (B,), equal within a group of `groups` (B,)."""
    return one_per_group(lambda count: torch.rand(count, generator=generator, device=generator.device), groups)


def one_per_group(sample: Callable[[int], Tensor], groups: Tensor) -> Tensor:
    """Broadcasts `sample(n)`, one value (n, ...) for each of n groups, to the samples of `groups` (B,): (B, ...).

    Groups are numbered by first appearance, whatever their ids.
    """
    ids = groups.tolist()
    numbers = {group: number for number, group in enumerate(dict.fromkeys(ids))}
    made = sample(len(numbers))
    return made[torch.tensor([numbers[group] for group in ids], device=made.device)]


def noise_schedule(scheduler: SchedulerMixin, path: str) -> DDPMScheduler:
    """The noise schedule and the prediction type of a base model's scheduler.

    Args:
        scheduler: Any diffusers scheduler with a sequence of β.
        path: Path of the base model, for the message.

    Raises:
        BolidError: If it has none, as for EDM and flow matching.
    """
    if not {"beta_schedule", "trained_betas"} & scheduler.config.keys():
        raise BolidError(
            f"{path}: its {type(scheduler).__name__} defines noise by no sequence of β; BoLID trains models that do, "
            "such as Stable Diffusion 1.5, 2.1 and XL"
        )
    return DDPMScheduler.from_config(scheduler.config)


def few_step_scheduler(scheduler: SchedulerMixin, steps: int, device: torch.device | str = "cpu") -> DDIMScheduler:
    """DDIM in N steps by a model's noise schedule, from pure noise to clean latents, whatever its scheduler's settings.

    Timesteps are trailing, such as 999, 749, 499, 249, so that the first is pure noise. Published settings may be
    leading (751, 501, 251, 1), keep some noise at the last step, or clip samples to -1..1, which latents exceed.
    """
    made = DDIMScheduler.from_config(
        scheduler.config, timestep_spacing="trailing", steps_offset=0, set_alpha_to_one=True, clip_sample=False,
        thresholding=False,
    )  # fmt: skip
    made.set_timesteps(steps, device=device)
    return made
