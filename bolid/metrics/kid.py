"""Kernel inception distance (Bińkowski et al. 2018) on the features of any network."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import PersonBatch
from bolid.experts.base import FeatureNetwork
from bolid.metrics.base import PictureMetric, full_precision, real_pictures


class KID(PictureMetric):
    """Squared maximum mean discrepancy with the kernel (x·y / F + 1)³; 0 is best, unbiased also with few pictures.

    It is estimated from all pairs and not from random subsets, so that every rank and every run gives the same number.

    Args:
        network: Gives the features; its name is in the metric's.
    """

    higher_is_better = False
    real: list[Tensor]
    fake: list[Tensor]

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        self.network = network
        self.add_rows("real", network.num_features)
        self.add_rows("fake", network.num_features)

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1 and the batch's photos."""
        self.real.append(self.network.features(real_pictures(batch)))
        self.fake.append(self.network.features(pictures))

    def compute(self) -> dict[str, Tensor]:
        """`kid/<network>`; not a number below two pictures."""
        real, fake = dim_zero_cat(self.real).double(), dim_zero_cat(self.fake).double()
        return {f"kid/{self.network.name}": polynomial_mmd(real, fake).float()}


def polynomial_mmd(a: Tensor, b: Tensor) -> Tensor:
    """Unbiased squared MMD between feature sets (N, F) and (M, F) with the cubic kernel: scalar."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:  # mean over pairs of different pictures
        gram = kernel(x, x)
        return (gram.sum() - gram.trace()) / (len(x) * (len(x) - 1)) if len(x) > 1 else gram.new_tensor(torch.nan)

    return within(a) + within(b) - 2 * kernel(a, b).mean()
