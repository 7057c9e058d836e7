"""Fréchet inception distance (Heusel et al. 2017) on the features of any network."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.core.schema import PersonBatch
from bolid.experts.base import FeatureNetwork
from bolid.metrics.base import PictureMetric, full_precision, real_pictures


class FID(PictureMetric):
    """Distance between Gaussians fitted to the features of photos and of pictures; 0 is best.

    Biased upwards with few pictures: compare only values from equal numbers of them.

    Args:
        network: Gives the features. Values of two networks cannot be compared, so its name is in the metric's.
    """

    higher_is_better = False

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network
        for kind in ("real", "fake"):
            self.add_sum(f"{kind}_count")
            self.add_sum(f"{kind}_sum", network.num_features)
            self.add_sum(f"{kind}_outer", network.num_features, network.num_features)

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1 and the batch's photos."""
        for kind, shown in (("real", real_pictures(batch)), ("fake", pictures)):
            features = self.network.features(shown).double()  # (B, F)
            setattr(self, f"{kind}_count", getattr(self, f"{kind}_count") + len(features))
            setattr(self, f"{kind}_sum", getattr(self, f"{kind}_sum") + features.sum(0))
            setattr(self, f"{kind}_outer", getattr(self, f"{kind}_outer") + features.T @ features)

    def compute(self) -> dict[str, Tensor]:
        """`fid/<network>`; not a number below two pictures."""
        return {f"fid/{self.network.name}": frechet_distance(*self._gaussian("real"), *self._gaussian("fake")).float()}

    def _gaussian(self, kind: str) -> tuple[Tensor, Tensor]:
        count, mean = getattr(self, f"{kind}_count"), getattr(self, f"{kind}_sum") / getattr(self, f"{kind}_count")
        return mean, (getattr(self, f"{kind}_outer") - count * mean.outer(mean)) / (count - 1)


def frechet_distance(mean_a: Tensor, cov_a: Tensor, mean_b: Tensor, cov_b: Tensor) -> Tensor:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) of two Gaussians: (F,), (F, F), (F,), (F, F) -> scalar."""
    if not (cov_a.isfinite().all() and cov_b.isfinite().all()):
        return torch.full_like(mean_a[0], torch.nan)
    # The trace of the root is the sum of the eigenvalues' roots; rounding makes some of them slightly negative.
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp_min(0).sqrt().sum()
    return ((mean_a - mean_b) ** 2).sum() + cov_a.trace() + cov_b.trace() - 2 * roots
