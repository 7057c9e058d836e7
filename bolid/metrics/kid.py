"""Kernel inception distance (Bińkowski et al. 2018) on the features of any network."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bolid.metrics.base import Description
from bolid.metrics.feature_sets import FULL_RANK, FeatureSets


class KID(FeatureSets):
    """Squared maximum mean discrepancy with the kernel (x·y / F + 1)³; unbiased also for few images.

    It is estimated from all pairs instead of random subsets, so that every rank and run gives the same value.
    See `FeatureSets`.
    """

    kind = "kid"
    describes = {"kid": Description("around 0 for equal distributions", "lower", smallest=FULL_RANK)}

    def distance(self, real: Tensor, fake: Tensor) -> Callable[[Tensor], Tensor]:
        """See `FeatureSets.distance`."""
        reals, fakes, between = cubic_kernel(real, real), cubic_kernel(fake, fake), cubic_kernel(real, fake)

        def mmd(weights: Tensor) -> Tensor:
            mean = (weights @ between @ weights) / weights.sum().square()
            return mean_of_pairs(reals, weights) + mean_of_pairs(fakes, weights) - 2 * mean

        return mmd


def cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x·y / F + 1)³ of features (N, F) and (M, F): (N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def mean_of_pairs(gram: Tensor, weights: Tensor) -> Tensor:
    """Mean of a kernel (N, N) over pairs of different images with multiplicities (N,): scalar.

    An image never pairs with itself, whatever its multiplicity. NaN for a single image.
    """
    pairs = weights.sum().square() - weights.square().sum()
    return (weights @ gram @ weights - weights.square() @ gram.diagonal()) / pairs
