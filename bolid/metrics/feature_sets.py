"""What FID and KID share: the features of photos and of pictures, compared as sets."""

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

FULL_RANK = 2048  # the covariance of 2048 Inception features has full rank only with more images than this


class FeatureSets(ImageMetric):
    """A distance between the features of photos and of pictures, as many of each; 0 is best.

    Args:
        network: Gives the features. Values of two networks cannot be compared, so its name is in the metric's.
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
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1 and the batch's photos."""
        self.real.append(self.network.features(real_pictures(batch)))
        self.fake.append(self.network.features(pictures))
        self.people.append(numbered(batch.identities).to(pictures.device))

    def compute(self) -> dict[str, Tensor]:
        """`<kind>/<network>`; not a number below two pictures."""
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
        """Of two sets (N, F), given how many times each of their rows counts, (N,): a scalar, all in float64."""
