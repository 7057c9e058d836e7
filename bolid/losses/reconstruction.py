"""Stage 1's reconstruction terms: Gaussian negative log-likelihoods with a learned variance."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def weighted_mse(predicted: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Squared error weighted by W and normalised by ΣW: (B, C, H, W) and W (B, 1, H, W) -> (B,)."""
    error = (predicted - target).square().mean(1, keepdim=True)
    return (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(1e-6)


class GaussianNLL(nn.Module):
    """−log N(x; x̂, σ²) up to a constant, for a mean squared error over `dims` independent values, σ learned.

    Args:
        dims: How many values count as independent. Neighbouring pixels are not, so this is far below the number of
            pixels; it sets the weight of the term against the KL.
    """

    def __init__(self, dims: float = 500.0):
        super().__init__()
        self.dims = dims
        self.log_variance = nn.Parameter(torch.tensor(-2.0))

    def forward(self, mse: Tensor, known: Tensor | None = None) -> Tensor:
        """(B,) mean squared errors -> scalar, in nats per sample; the mean is over the samples `known` (B,) bool."""
        known = torch.ones_like(mse) if known is None else known.to(mse.dtype)
        nll = 0.5 * self.dims * (mse / self.log_variance.exp() + self.log_variance)
        return (nll * known).sum() / known.sum().clamp_min(1)
