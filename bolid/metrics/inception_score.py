"""Inception score (Salimans et al. 2016) with the classes of any network."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.feature_sets import FULL_RANK
from bolid.metrics.interval import Interval, resampled
from bolid.vision.base import FeatureNetwork


class InceptionScore(ImageMetric):
    """exp of the mean KL(p(class | image) ‖ p(class)), 1 to the number of classes K; higher is better.

    One score over all images (no splits), so that ranks reduce. It does not use the photos.

    Args:
        network: Classifier; the metric's name includes its name.
        resamples: Bootstrap resamples of people for the interval; 0 for none.

    Raises:
        BolidError: If the network has fewer than two classes.
    """

    describes = {"inception_score": Description("1 to the number of classes", "higher", smallest=FULL_RANK)}
    higher_is_better = True
    logits: list[Tensor]
    people: list[Tensor]

    def __init__(self, network: FeatureNetwork, resamples: int = 0) -> None:
        super().__init__()
        if network.num_classes < 2:
            raise BolidError(f"InceptionScore: {network.name} has {network.num_classes} classes; name at least 2.")
        self.network, self.resamples = network, resamples
        self.add_rows("logits", network.num_classes)
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1."""
        self.logits.append(self.network.logits(images))
        self.people.append(numbered(batch.identities).to(images.device))

    def compute(self) -> dict[str, Tensor]:
        """`inception_score/<network>`."""
        logits = dim_zero_cat(self.logits)
        score = inception_score(logits, torch.ones_like(logits[:, 0], dtype=torch.float64))
        return {f"inception_score/{self.network.name}": score.float()}

    def other_intervals(self) -> dict[str, Interval]:
        """See `ImageMetric`."""
        if not self.resamples:
            return {}
        with self.sync_context():
            logits, people = dim_zero_cat(self.logits), dim_zero_cat(self.people)
        found = resampled(people, lambda weights: inception_score(logits, weights), self.resamples)
        return {f"inception_score/{self.network.name}": found}


def inception_score(logits: Tensor, weights: Tensor) -> Tensor:
    """The score of logits (N, K) with multiplicities (N,) float64: scalar, NaN without images."""
    log_probability = logits.double().log_softmax(1)
    probability, share = log_probability.exp(), weights / weights.sum()
    mean = share @ probability
    return (share @ (probability * log_probability).sum(1) - mean.xlogy(mean).sum()).exp()
