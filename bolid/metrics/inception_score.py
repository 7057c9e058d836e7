"""Inception score (Salimans et al. 2016) with the classes of any network."""

from __future__ import annotations

from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import PersonBatch
from bolid.experts.base import FeatureNetwork
from bolid.metrics.base import PictureMetric, full_precision


class InceptionScore(PictureMetric):
    """exp of the mean KL(p(class | picture) ‖ p(class)): 1 (all alike or unclear) to K; more is better.

    One score over all pictures (no splits), so that ranks add up. It does not look at the photos.

    Args:
        network: Gives the classes' probabilities; its name is in the metric's.

    Raises:
        BolidError: if the network has fewer than two classes.
    """

    higher_is_better = True
    count: Tensor
    probability: Tensor
    negative_entropy: Tensor

    def __init__(self, network: FeatureNetwork) -> None:
        super().__init__()
        if network.num_classes < 2:
            raise BolidError(
                f"InceptionScore: {network.name} tells {network.num_classes} classes apart; name at least 2."
            )
        self.network = network
        self.add_sum("count")
        self.add_sum("probability", network.num_classes)
        self.add_sum("negative_entropy")

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1."""
        log_probability = self.network.logits(pictures).double().log_softmax(1)  # (B, K)
        probability = log_probability.exp()
        self.count += len(pictures)
        self.probability += probability.sum(0)
        self.negative_entropy += (probability * log_probability).sum()

    def compute(self) -> dict[str, Tensor]:
        """`inception_score/<network>`."""
        mean = self.probability / self.count
        divergence = self.negative_entropy / self.count - mean.xlogy(mean).sum()
        return {f"inception_score/{self.network.name}": divergence.exp().float()}
