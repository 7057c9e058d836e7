"""L_diff: the denoising loss in the backbone's latent space."""

from __future__ import annotations

import torch
from diffusers import SchedulerMixin
from torch import Tensor
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch


def regression_target(scheduler: SchedulerMixin, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the UNet is asked for: ε, v or x_0, as the scheduler's `prediction_type` says. Shapes (B, C, h, w)."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    if kind == "sample":
        return latents
    raise ValueError(f"unknown prediction_type {kind!r}")


def min_snr_weight(scheduler: SchedulerMixin, timesteps: Tensor, gamma: float) -> Tensor:
    """Min-SNR-γ weight of each sample (Hang et al. 2023): min(SNR, γ)/SNR for ε, min(SNR, γ)/(SNR + 1) for v: (B,)."""
    alphas = scheduler.alphas_cumprod.to(timesteps.device)[timesteps]
    snr = alphas / (1 - alphas)
    clipped = snr.clamp_max(gamma)
    kind = scheduler.config.prediction_type
    return {"epsilon": clipped / snr.clamp_min(1e-8), "v_prediction": clipped / (snr + 1), "sample": clipped}[kind]


def diffusion_loss(predicted: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error in float32, optionally weighted per sample (B,) or per latent cell (B, 1, h, w): scalar."""
    loss = F.mse_loss(predicted.float(), target.float(), reduction="none")
    if weight is None:
        return loss.mean()
    return (loss * (weight if weight.ndim > 1 else weight[:, None, None, None])).mean()


def person_weight(batch: TrainingBatch, latents: Tensor, extra: float) -> Tensor:
    """Weight (B, 1, h, w) of the latent cells (B, C, h, w), its mean 1 in each picture.

    A cell that the person fills weighs 1 + `extra` times as much as one of the background: limbs and faces are small.
    Where the silhouette is unknown, all cells weigh the same.
    """
    known = batch.silhouette_known[:, None, None, None]
    person = F.interpolate(torch.where(known, batch.silhouettes, 0.0), latents.shape[2:], mode="area")
    weight = 1 + extra * person
    return weight / weight.mean((1, 2, 3), keepdim=True)


def noised(
    scheduler: SchedulerMixin,
    latents: Tensor,
    generator: torch.Generator,
    shift: float = 1.0,
    offset: float = 0.0,
    alike: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws noise and timesteps and mixes them in: returns z_t (B, C, h, w), the noise, the timesteps (B,).

    Each timestep is uniform; a batch has one of every B-th part of them, which makes the loss vary less (Kingma et al.
    2021, appendix I.1). A `shift` s above 1 moves a share u of them to s·u / (1 + (s - 1)·u), towards pure noise (Esser
    et al. 2024, equation 23), where nothing but the caption tells what the picture shows. An `offset` adds noise of
    that standard deviation that is the same all over a channel, so that pictures' mean brightness is learned too.
    So many neighbours as are `alike` get the same noise and timestep.
    """
    size, steps = -(-len(latents) // alike), scheduler.config.num_train_timesteps
    shape = (size, *latents.shape[1:])
    noise = torch.randn(shape, generator=generator, device=latents.device, dtype=latents.dtype)
    if offset:
        channels = (*shape[:2], 1, 1)
        noise = noise + offset * torch.randn(channels, generator=generator, device=latents.device, dtype=latents.dtype)
    parts = torch.randperm(size, generator=generator, device=latents.device)
    share = (parts + torch.rand(size, generator=generator, device=latents.device)) / size
    share = shift * share / (1 + (shift - 1) * share)
    timesteps = (share * steps).long().clamp_max(steps - 1)
    noise, timesteps = for_each(noise, len(latents), alike), for_each(timesteps, len(latents), alike)
    return scheduler.add_noise(latents, noise, timesteps), noise, timesteps


def lots(size: int, generator: torch.Generator, alike: int = 1) -> Tensor:
    """Uniform numbers in 0..1, one for each sample (B,) or for every `alike` neighbours."""
    return for_each(torch.rand(-(-size // alike), generator=generator, device=generator.device), size, alike)


def for_each(drawn: Tensor, size: int, alike: int) -> Tensor:
    """What was drawn for every `alike` neighbours (ceil(B / alike), ...) for each of B = `size` samples (B, ...)."""
    return drawn.repeat_interleave(alike, 0)[:size]
