"""Reconstruction terms of stage 1: Gaussian negative log-likelihoods of images and silhouettes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_mse(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error weighted by W and normalised by ΣW: (B, C, H, W) and W (B, 1, H, W) -> (B,)."""
    error = (predicted - target).square().mean(1, keepdim=True)
    return (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)


def mse_by_scale(predicted: Tensor, target: Tensor, scales: int = 4) -> Tensor:
    """Mean squared errors at full size and after average pooling by 2, 4, …: (B, C, H, W) -> (scales, B).

    The first scale is dominated by outlines, the last by the area and position of the body.
    """
    errors = []
    for halvings in range(scales):
        difference = F.avg_pool2d(predicted - target, 2**halvings)
        errors.append(difference.square().mean((1, 2, 3)))
    return torch.stack(errors)


def gaussian_nll(mse: Tensor, known: Tensor | None = None, dims: float = 500.0) -> Tensor:
    """−log N(x; x̂, σ²) up to a constant, with the maximum-likelihood σ², the batch's mean squared error.

    This is the calibrated decoder of σ-VAE (Rybkin et al. 2021). A σ trained by gradient descent lags about a thousand
    steps behind, in which the KL dominates.

    Args:
        mse: (B,) mean squared errors.
        known: (B,) bool, the samples to average over; None for all.
        dims: Number of independent values. Neighbouring pixels are correlated, so this is far below the number of
            pixels; it weights the term against the KL.

    Returns:
        Scalar in nats per sample; 0 without known samples.
    """
    known = torch.ones_like(mse) if known is None else known.to(mse.dtype)
    variance = (mse * known).sum() / known.sum().clamp_min(1)
    return 0.5 * dims * variance.clamp_min(1e-6).log() * known.amax()
