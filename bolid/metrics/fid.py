"""Fréchet inception distance (Heusel et al. 2017) on the features of any network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bolid.metrics.base import Description
from bolid.metrics.feature_sets import FULL_RANK, FeatureSets


class FID(FeatureSets):
    """Distance between Gaussians fitted to the features of photos and of generated images; see `FeatureSets`.

    Biased upwards for few images: compare only values from equal numbers of images.
    """

    kind = "fid"
    describes = {"fid": Description("from 0", "lower", smallest=FULL_RANK)}

    def distance(self, real: Tensor, fake: Tensor) -> Callable[[Tensor], Tensor]:
        """See `FeatureSets.distance`."""
        return lambda weights: frechet_distance(*gaussian(real, weights), *gaussian(fake, weights))


def gaussian(features: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (F,) and covariance (F, F) of features (N, F) with multiplicities (N,)."""
    count = weights.sum()
    mean = weights @ features / count
    away = features - mean
    return mean, (away * weights[:, None]).T @ away / (count - 1)


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) of two Gaussians: (F,), (F, F), (F,), (F, F) -> scalar."""
    if not (cov_a.isfinite().all() and cov_b.isfinite().all()):
        return torch.full_like(mean_a[0], torch.nan)
    # The trace of the root is the sum of the eigenvalues' roots; rounding makes some of them slightly negative.
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp_min(0).sqrt().sum()
    return ((mean_a - mean_b) ** 2).sum() + cov_a.trace() + cov_b.trace() - 2 * roots
