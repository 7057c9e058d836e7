"""L_id on body proportions for images in any pose, per image and within counterfactual pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.vision.readers import ProportionReader


class ShapeLoss(ImageLoss):
    """Smooth L1 distance between proportions regressed from x_gen and from the photo, the mean over proportions.

    Unlike bone lengths in the image, proportions do not depend on pose and view. Smooth L1 (Girshick 2015) limits the
    influence of images that the regressor cannot read.

    Args:
        anthropometer: Regressor of proportions; use another one than the metric's.
        gain: Factor on the photo's proportions before the comparison. The regressor shrinks towards the mean by its
            slope on the truth; gain = 1 / slope compensates.
        weight: See `Loss`, as the rest.
    """

    needs = "photos known to show a whole figure (`whole_figure`)"

    def __init__(
        self,
        anthropometer: ProportionReader,
        gain: float = 1.0,
        weight: float = 0.1,
        start: int = 0,
        ramp: int = 0,
    ):
        super().__init__(weight, start, ramp)
        self.anthropometer, self.gain = anthropometer, gain

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Samples known to show a whole figure."""
        return batch.whole_figure

    def residuals(self, images: Tensor, batch: TrainingBatch) -> Tensor:
        """read(x_gen) − gain · read(photo): (n, K)."""
        truth = self.anthropometer.read(batch.pictures * 0.5 + 0.5) * self.gain
        return self.anthropometer(images) - truth

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        return smooth_l1(self.residuals(images, batch))


class PairedShapeLoss(ShapeLoss):
    """`ShapeLoss` on residuals minus their mean within each counterfactual pair.

    Both images of a pair share noise, caption and scene, so that the common error is due to these, and the difference
    to the bodies. See `ShapeLoss` for the arguments.
    """

    needs = "counterfactual pairs (samples of one group) of photos known to show a whole figure"

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Whole figures with another one of the same group in the batch."""
        figure = batch.whole_figure
        same = (batch.groups[:, None] == batch.groups) & figure[:, None] & figure
        return same.sum(1) > 1

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        residual = self.residuals(images, batch)
        return smooth_l1(residual - shared(residual, groups))


def smooth_l1(residuals: Tensor) -> Tensor:
    """(n, K) -> (n,)."""
    return F.smooth_l1_loss(residuals, torch.zeros_like(residuals), reduction="none").mean(1)


def shared(values: Tensor, groups: Tensor) -> Tensor:
    """For each row of (n, K) the mean over the rows of its group (n,); 0 for a group of one."""
    same = (groups[:, None] == groups).to(values)[..., None]  # (n, n, 1)
    return torch.where(same.sum(1) > 1, (same * values).sum(1) / same.sum(1), 0.0)
