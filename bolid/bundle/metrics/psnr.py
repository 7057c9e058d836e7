"""PSNR: how much of a person an autoencoder keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision
from bolid.synthetic.wording import FRAMING
from bolid.vision.base import Frozen


class RoundTripPSNR(ImageMetric):
    """Peak signal-to-noise ratio of the round trip through an autoencoder on the person's pixels, in dB.

    The squared error is averaged over the pixels of all photos, not the ratio over photos. Where the silhouette is
    unknown, the whole picture counts as the person.

    Args:
        autoencoder: A diffusers `AutoencoderKL`.
    """

    describes = {"psnr": Description("on the person's pixels", "higher", "dB")}
    higher_is_better = True
    error: Tensor  # sums: of all photos, then of those of each framing that their captions name
    values: Tensor

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.autoencoder = Frozen(autoencoder)
        self.add_sum("error", 1 + len(FRAMING))
        self.add_sum("values", 1 + len(FRAMING))

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds photos (B, 3, H, W) in 0..1 that the autoencoder is to keep."""
        drawn = round_trip(self.autoencoder, pictures)
        person = torch.where(batch.silhouette_known[:, None, None, None], batch.silhouettes, 1.0)  # (B, 1, H, W)
        error = ((drawn - pictures).square() * person).double().sum((1, 2, 3))
        values = 3 * person.double().sum((1, 2, 3))
        for rows, chosen in enumerate(self._parts(batch.full_asked)):
            self.error[rows] += error[chosen].sum()
            self.values[rows] += values[chosen].sum()

    def compute(self) -> dict[str, Tensor]:
        """`psnr`, and `psnr/<framing>`, not a number where no caption names it."""
        psnr = -10 * (self.error / self.values).log10()
        names = ["psnr", *(f"psnr/{framing.replace(' ', '_')}" for framing in FRAMING)]
        return {name: value.float() for name, value in zip(names, psnr, strict=True)}

    @staticmethod
    def _parts(asked: list[dict[str, str]]) -> list[list[int]]:
        """Indices of the photos of each sum."""
        framings = [attributes.get("framing") for attributes in asked]
        parts = [[i for i, framing in enumerate(framings) if framing == name] for name in FRAMING]
        return [list(range(len(asked))), *parts]


@torch.no_grad()
def round_trip(autoencoder: Frozen, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in 0..1 through the autoencoder's mode and back, in the precision that is set."""
    latents = autoencoder.network.encode(pictures * 2 - 1).latent_dist.mode()
    return (autoencoder.network.decode(latents).sample.float() * 0.5 + 0.5).clamp(0, 1)
