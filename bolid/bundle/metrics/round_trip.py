"""Scores of what an autoencoder keeps of photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision
from bolid.vision.base import Frozen


class RoundTripScores(ImageMetric):
    """Metrics of photos after a round trip through an autoencoder, which is made once for all of them.

    Args:
        autoencoder: A diffusers `AutoencoderKL`.
        metrics: Metrics of images against the batch's photos.
    """

    metrics: Any  # a ModuleList, whose members mypy would take for mere Modules

    def __init__(self, autoencoder: Any, metrics: Sequence[ImageMetric]) -> None:
        super().__init__()
        self.autoencoder, self.metrics = Frozen(autoencoder), nn.ModuleList(metrics)
        self.describes = {name: text for metric in metrics for name, text in metric.describes.items()}

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds photos (B, 3, H, W) in 0..1 that the autoencoder is to keep."""
        images = round_trip(self.autoencoder, pictures)
        for metric in self.metrics:
            metric.update(images, batch)

    def compute(self) -> dict[str, Tensor]:
        """The metrics' numbers."""
        return {name: value for metric in self.metrics for name, value in metric.compute().items()}

    def reset(self) -> None:
        """Forgets all photos."""
        super().reset()
        for metric in self.metrics:
            metric.reset()


@torch.no_grad()
def round_trip(autoencoder: Frozen, pictures: Tensor) -> Tensor:
    """Images (B, 3, H, W) in 0..1 through the autoencoder's mode and back, in the precision that is set."""
    latents = autoencoder.network.encode(pictures * 2 - 1).latent_dist.mode()
    return (autoencoder.network.decode(latents).sample.float() * 0.5 + 0.5).clamp(0, 1)
