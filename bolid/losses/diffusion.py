"""L_diff: the denoising loss in the backbone's latent space."""

from __future__ import annotations

import torch
from diffusers import SchedulerMixin
from torch import Tensor
from torch.nn import functional as F


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
    """Mean squared error in float32, optionally weighted per sample (B,): scalar."""
    loss = F.mse_loss(predicted.float(), target.float(), reduction="none").mean((1, 2, 3))
    return (loss if weight is None else loss * weight).mean()


def noised(scheduler: SchedulerMixin, latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draws noise and timesteps and mixes them in: returns z_t (B, C, h, w), the noise, the timesteps (B,)."""
    noise = torch.randn(latents.shape, generator=generator, device=latents.device, dtype=latents.dtype)
    steps = scheduler.config.num_train_timesteps
    timesteps = torch.randint(steps, (len(latents),), generator=generator, device=latents.device)
    return scheduler.add_noise(latents, noise, timesteps), noise, timesteps
