"""L_id on proportions, for images of any pose; alone, and within counterfactual pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.vision.readers import ProportionReader


class ShapeLoss(ImageLoss):
    """Smooth L1 distance of the proportions read off x_gen from those read off the photo, the mean over proportions.

    Bone lengths in the image change with pose and view; proportions of the body do not. Smooth L1 (Girshick 2015), so
    that an image that cannot be read does not outweigh the others.

    Args:
        anthropometer: It should not be the one that scores.
        gain: Readings of the photo are multiplied by it before those of x_gen are compared with them. The regressor
            shrinks towards the mean by its slope on the truth; gain = 1 / slope compensates.
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
        """Whole figures, where that is known and asked for."""
        return batch.whole_figure

    def residuals(self, images: Tensor, batch: TrainingBatch) -> Tensor:
        """read(x_gen) − gain · read(photo): (n, K)."""
        truth = self.anthropometer.read(batch.pictures * 0.5 + 0.5) * self.gain
        return self.anthropometer(images) - truth

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        return smooth_l1(self.residuals(images, batch))


class PairedShapeLoss(ShapeLoss):
    """The same with the mean residual of a counterfactual pair taken off each of its residuals.

    Both of a pair are generated from the same noise, captions and scene, so that what their errors share is due to the
    noise, and what is left to the bodies. See `ShapeLoss` for the arguments.
    """

    needs = "counterfactual pairs (samples of one group) of photos known to show a whole figure"

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Whole figures of which a batch holds another one of the same group."""
        figure = batch.whole_figure
        same = (batch.groups[:, None] == batch.groups) & figure[:, None] & figure
        return same.sum(1) > 1

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        away = self.residuals(images, batch)
        return smooth_l1(away - shared(away, groups))


def smooth_l1(residuals: Tensor) -> Tensor:
    """(n, K) -> (n,)."""
    return F.smooth_l1_loss(residuals, torch.zeros_like(residuals), reduction="none").mean(1)


def shared(values: Tensor, groups: Tensor) -> Tensor:
    """The mean over the rows of (n, K) whose group (n,) is the same as each one's; 0 for a row that is alone."""
    same = (groups[:, None] == groups).to(values)[..., None]  # (n, n, 1)
    return torch.where(same.sum(1) > 1, (same * values).sum(1) / same.sum(1), 0.0)
