"""Base class of FID and KID: distances between sets of features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision, numbered, real_pictures
from bolid.metrics.interval import Interval, resampled
from bolid.vision.base import FeatureNetwork

FULL_RANK = 2048  # images; the covariance of 2048 Inception features has full rank only above it


class FeatureSets(ImageMetric):
    """A distance between the features of photos and of generated images, equally many of each; 0 is best.

    Args:
        network: Feature network; values of different networks are not comparable, so the metric's name includes it.
        resamples: Bootstrap resamples of people for the interval; 0 for none.
    """

    higher_is_better = False
    kind: str  # in the metric's name
    real: list[Tensor]
    fake: list[Tensor]
    people: list[Tensor]

    def __init__(self, network: FeatureNetwork, resamples: int = 0) -> None:
        super().__init__()
        self.network, self.resamples = network, resamples
        self.add_rows("real", network.num_features)
        self.add_rows("fake", network.num_features)
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1 and the batch's photos."""
        self.real.append(self.network.features(real_pictures(batch)))
        self.fake.append(self.network.features(images))
        self.people.append(numbered(batch.identities).to(images.device))

    def compute(self) -> dict[str, Tensor]:
        """`<kind>/<network>`; NaN below two images."""
        real, fake = dim_zero_cat(self.real).double(), dim_zero_cat(self.fake).double()
        return {f"{self.kind}/{self.network.name}": self.distance(real, fake)(torch.ones_like(real[:, 0])).float()}

    def other_intervals(self) -> dict[str, Interval]:
        """See `ImageMetric`."""
        if not self.resamples:
            return {}
        with self.sync_context():
            real, fake = dim_zero_cat(self.real).double(), dim_zero_cat(self.fake).double()
            people = dim_zero_cat(self.people)
        found = resampled(people, self.distance(real, fake), self.resamples)
        return {f"{self.kind}/{self.network.name}": found}

    @abstractmethod
    def distance(self, real: Tensor, fake: Tensor) -> Callable[[Tensor], Tensor]:
        """Function from the multiplicity (N,) of rows to the distance of two sets (N, F), a scalar; all float64."""
