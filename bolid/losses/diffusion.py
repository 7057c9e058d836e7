"""L_diff: the denoising loss in the backbone's latent space."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch


def diffusion_loss(predicted: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error in float32, optionally weighted per sample (B,) or per latent cell (B, 1, h, w): scalar."""
    loss = F.mse_loss(predicted.float(), target.float(), reduction="none")
    if weight is None:
        return loss.mean()
    return (loss * (weight if weight.ndim > 1 else weight[:, None, None, None])).mean()


def person_weight(batch: TrainingBatch, latents: Tensor, extra: float) -> Tensor:
    """Weight (B, 1, h, w) of the latent cells (B, C, h, w) with mean 1 per image.

    A cell filled by the person weighs 1 + `extra` times a background cell, since limbs and faces are small.
    If the silhouette is unknown, all cells weigh the same.
    """
    known = batch.silhouette_known[:, None, None, None]
    person = F.interpolate(torch.where(known, batch.silhouettes, 0.0), latents.shape[2:], mode="area")
    weight = 1 + extra * person
    return weight / weight.mean((1, 2, 3), keepdim=True)
