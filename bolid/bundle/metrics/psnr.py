"""PSNR of reconstructions on the person's pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.bundle.views import whole_view
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, real_pictures
from bolid.synthetic.wording import FRAMING


class PersonPSNR(ImageMetric):
    """Peak signal-to-noise ratio of images against the photos that they reproduce, on the person's pixels, in dB.

    The squared error is averaged over the pixels of all photos, not the ratio over photos. Where the silhouette is
    unknown, the whole image counts as the person.
    """

    describes = {"psnr": Description("on the person's pixels", "higher", "dB")}
    higher_is_better = True
    error: Tensor  # sums: the person's in all photos and in those of each framing that captions name; heads; the whole
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("error", 3 + len(FRAMING))
        self.add_sum("values", 3 + len(FRAMING))

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1 of the batch's photos."""
        _, person, head = whole_view(batch)
        squared = (images - real_pictures(batch)).square()
        parts = [(person, rows) for rows in self._parts(batch.full_asked)]
        everybody = parts[0][1]
        for k, (mask, rows) in enumerate([*parts, (head, everybody), (torch.ones_like(head), everybody)]):
            self.error[k] += (squared * mask)[rows].double().sum()
            self.values[k] += 3 * mask[rows].double().sum()

    def compute(self) -> dict[str, Tensor]:
        """`psnr`, `psnr/<framing>`, `psnr/head`, `psnr/whole`; NaN if no photo shows it."""
        psnr = -10 * (self.error / self.values).log10()
        names = ["psnr", *(f"psnr/{framing.replace(' ', '_')}" for framing in FRAMING), "psnr/head", "psnr/whole"]
        return {name: value.float() for name, value in zip(names, psnr, strict=True)}

    @staticmethod
    def _parts(asked: list[dict[str, str]]) -> list[list[int]]:
        """Indices of the photos of each sum."""
        framings = [attributes.get("framing") for attributes in asked]
        parts = [[i for i, framing in enumerate(framings) if framing == name] for name in FRAMING]
        return [list(range(len(asked))), *parts]
