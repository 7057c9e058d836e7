"""Stage 1's reconstruction terms: Gaussian negative log-likelihoods of pictures and silhouettes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_mse(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error weighted by W and normalised by ΣW: (B, C, H, W) and W (B, 1, H, W) -> (B,)."""
    error = (predicted - target).square().mean(1, keepdim=True)
    return (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)


def mse_by_scale(predicted: Tensor, target: Tensor, scales: int = 4) -> Tensor:
    """Mean squared errors of pictures and of their means over squares of 2, 4, … pixels: (B, C, H, W) -> (scales, B).

    Outlines are most of the first; how much of a body there is, and roughly where, is all of the last.
    """
    errors = []
    for halvings in range(scales):
        difference = F.avg_pool2d(predicted - target, 2**halvings)
        errors.append(difference.square().mean((1, 2, 3)))
    return torch.stack(errors)


def gaussian_nll(mse: Tensor, known: Tensor | None = None, dims: float = 500.0) -> Tensor:
    """−log N(x; x̂, σ²) up to a constant, with the σ² under which the batch is likeliest: its mean squared error.

    That is σ-VAE's calibrated decoder (Rybkin et al. 2021). A σ that descends along with the weights lags a thousand
    steps behind, and until then little but the KL counts.

    Args:
        mse: (B,) mean squared errors.
        known: (B,) bool, the samples that count; None: all.
        dims: How many values count as independent. Neighbouring pixels are not, so this is far below the number of
            pixels; it sets the weight of the term against the KL.

    Returns:
        Scalar, in nats a sample; 0 if none counts.
    """
    known = torch.ones_like(mse) if known is None else known.to(mse.dtype)
    variance = (mse * known).sum() / known.sum().clamp_min(1)
    return 0.5 * dims * variance.clamp_min(1e-6).log() * known.amax()
