"""Sharpness: fine structure of images relative to the photos."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.bundle.views import whole_view
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, real_pictures

FINE = 0.25  # cycles a pixel: half the Nyquist frequency


class Sharpness(ImageMetric):
    """Power above half the Nyquist frequency in images, relative to that of their photos.

    1 is as sharp as the photos, less is blurred, more is grain. Images need not show the photos' details in the same
    places. Powers are summed over all samples.
    """

    describes = {"sharpness": Description("0 or more; as the photos: 1")}
    higher_is_better = None
    images: Tensor  # sums of squares: on the person, on the head, on the whole
    photos: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_sum("images", 3)
        self.add_sum("photos", 3)

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1 of the batch's photos, place by place."""
        _, person, head = whole_view(batch)
        for total, shown in ((self.images, pictures), (self.photos, real_pictures(batch))):
            power = fine_structure(shown).square().sum(1, keepdim=True)  # (B, 1, H, W)
            total += torch.stack([(power * mask).double().sum() for mask in (person, head, torch.ones_like(head))])

    def compute(self) -> dict[str, Tensor]:
        """`sharpness` on the person, `sharpness/head` and `sharpness/whole`, each 0 or more."""
        names = ("sharpness", "sharpness/head", "sharpness/whole")
        return dict(zip(names, (self.images / self.photos).float(), strict=True))


def fine_structure(pictures: Tensor) -> Tensor:
    """The components of images (B, C, H, W) above half the Nyquist frequency in any direction: the same shape."""
    height, width = pictures.shape[-2:]
    rows, columns = (torch.fft.fftfreq(n, device=pictures.device) for n in (height, width))
    spectrum = torch.fft.fft2(pictures.float()) * (torch.hypot(rows[:, None], columns) > FINE)
    return torch.fft.ifft2(spectrum).real
