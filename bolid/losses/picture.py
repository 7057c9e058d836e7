"""Losses that look at x_gen, the picture that a training step would draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.losses.schedule import ScheduledTerm
from bolid.models.gaussian import person_height
from bolid.synthetic.readers.readers import UNSAID, Anthropometer, AttributeReader, attribute_labels
from bolid.synthetic.wording import ATTRIBUTES, shows_figure
from bolid.vision.clip import ClipModel
from bolid.vision.pose import PoseEstimator

POINTS = {"body12": tuple(range(5, 17)), "coco17": tuple(range(17))}
FAR = 1.0  # of a squared distance in heights: a picture without a person must not outweigh the others


class PictureLoss(ScheduledTerm, ABC):
    """A term of L that looks at x_gen. See `ScheduledTerm` for the arguments."""

    needs_pose = False  # whether the picture must share the target photo's pose

    def judges(self, captions: Sequence[str]) -> Tensor:
        """Of which captions' pictures it can tell something: (B,) bool."""
        return torch.ones(len(captions), dtype=torch.bool)

    @abstractmethod
    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """Loss of each picture.

        Args:
            pictures: (n, 3, H, W) in 0..1.
            batch: The n samples that they are of.
            noises: (n,) which noise each was drawn from; by default each from its own.

        Returns:
            (n,); zero where it cannot tell.
        """


class KeypointLoss(PictureLoss):
    """L_id = Σ_k ‖p_gen,k − p_k‖² / h² over the keypoints that the photo shows, h the person's height in it.

    Args:
        pose: A differentiable pose network; it should not be the one that scores.
        points: `body12` (shoulders to ankles) or all of `coco17`: the papers use both.
        weight: See `ScheduledTerm`, as the rest.
    """

    name = "id"
    needs_pose = True

    def __init__(
        self,
        pose: PoseEstimator,
        points: Literal["body12", "coco17"] = "body12",
        weight: float = 0.1,
        start: int = 0,
        ramp: int = 0,
    ):
        super().__init__(weight, start, ramp)
        self.pose, self.points = pose, POINTS[points]

    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """See `PictureLoss.forward`; a mean over the keypoints, so that photos that show few count as much."""
        found = self.pose(pictures).keypoints[:, self.points, :2]  # (n, K, 2)
        truth, seen = batch.keypoints[:, self.points, :2], (batch.keypoints[:, self.points, 2] > 0).float()
        away = (found - truth).square().sum(-1) / person_height(batch.keypoints)[:, None].square()  # (n, K)
        return (away.clamp_max(FAR) * seen).sum(1) / seen.sum(1).clamp_min(1)


class ShapeLoss(PictureLoss):
    """L_id for pictures of any pose: how far the proportions read off x_gen are from those read off the photo.

    Bone lengths in the picture change with pose and view; proportions of the body do not. The smooth L1 distance
    (Girshick 2015), so that a picture that cannot be read does not outweigh the others.

    Args:
        anthropometer: It should not be the one that scores.
        gain: Readings of the photo are multiplied by it before those of x_gen are compared with them. An anthropometer
            answers too near to the average, by its slope on the truth; 1 / slope asks that x_gen be read as far from
            the average as the person is.
        opposites: Whether the mean error of pictures from the same noise is taken off each one's: in training opposites
            are drawn so, and what their errors share is the noise's doing, not the bodies'.
        weight: See `ScheduledTerm`, as the rest.
    """

    name = "shape"

    def __init__(
        self,
        anthropometer: Anthropometer,
        gain: float = 1.0,
        opposites: bool = False,
        weight: float = 0.1,
        start: int = 0,
        ramp: int = 0,
    ):
        super().__init__(weight, start, ramp)
        self.anthropometer, self.gain, self.opposites = anthropometer, gain, opposites

    def judges(self, captions: Sequence[str]) -> Tensor:
        """Whole figures, seen from the front or turned halfway aside at most."""
        return torch.tensor([shows_figure(caption) for caption in captions])

    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """See `PictureLoss.forward`; a mean over the ratios, zero where the photo does not show them.

        With a = read(x_gen) − gain · read(photo), smooth L1 of a, or of a less its mean over the same noise.
        """
        truth = self.anthropometer.read(batch.pictures * 0.5 + 0.5) * self.gain  # (n, 7)
        away = self.anthropometer(pictures) - truth
        if self.opposites and noises is not None:
            away = away - shared(away, noises)
        loss = F.smooth_l1_loss(away, torch.zeros_like(away), reduction="none").mean(1)
        return loss * self.judges(batch.captions).to(loss)


def shared(values: Tensor, noises: Tensor) -> Tensor:
    """The mean over the rows of (n, K) that have the same noise (n,) as each; 0 for a row that has its own."""
    same = (noises[:, None] == noises).to(values)[..., None]  # (n, n, 1)
    return torch.where(same.sum(1) > 1, (same * values).sum(1) / same.sum(1), 0.0)


class ClipLoss(PictureLoss):
    """L_CLIP = 1 − cos(CLIP(x_gen), CLIP(τ)), τ the caption that the UNet got.

    Args:
        clip: Any open_clip model; it should not be the one that scores.
        weight: See `ScheduledTerm`, as the rest.
    """

    name = "clip"

    def __init__(self, clip: ClipModel, weight: float = 0.1, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)
        self.clip = clip

    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """See `PictureLoss.forward`."""
        return 1 - (self.clip.encode_images(pictures) * self.clip.encode_texts(batch.captions)).sum(1)


class PromptLoss(PictureLoss):
    """−log p(what τ names | x_gen) by a reader of attributes, the mean over those that the caption τ names.

    L_CLIP compares whole captions, in which the words for a pose are few.

    Args:
        reader: It should not be the one that scores.
        attributes: Those of `ATTRIBUTES` that count: what the other losses cost. Gender is read off proportions, too.
        weight: See `ScheduledTerm`, as the rest.

    Raises:
        BolidError: If there is no such attribute.
    """

    name = "prompt"

    def __init__(
        self,
        reader: AttributeReader,
        attributes: Sequence[str] = ("pose", "view"),
        weight: float = 0.1,
        start: int = 0,
        ramp: int = 0,
    ):
        super().__init__(weight, start, ramp)
        if unknown := sorted(set(attributes) - ATTRIBUTES.keys()):
            raise BolidError(f"PromptLoss: no attribute {unknown[0]!r}; there are {', '.join(ATTRIBUTES)}")
        self.reader, self.attributes = reader, tuple(attributes)

    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """See `PictureLoss.forward`."""
        read, labels = self.reader(pictures), attribute_labels(batch.captions)
        wanted = {name: labels[name].to(pictures.device) for name in self.attributes}  # (n,) each
        terms = [F.cross_entropy(read[k], w, ignore_index=UNSAID, reduction="none") for k, w in wanted.items()]
        named = torch.stack([w != UNSAID for w in wanted.values()])  # (attributes, n)
        return torch.stack(terms).sum(0) / named.sum(0).clamp_min(1)


class ReferenceStyleLoss(PictureLoss):
    """1 − cos(CLIP(x_gen), CLIP(reference)), the mean over the references: closer in style, and in clothes.

    Args:
        clip: Any open_clip model.
        weight: See `ScheduledTerm`, as the rest.
    """

    name = "style"

    def __init__(self, clip: ClipModel, weight: float = 0.05, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)
        self.clip = clip

    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """See `PictureLoss.forward`."""
        with torch.no_grad():
            shown = batch.references.pictures.flatten(0, 1) * 0.5 + 0.5
            references = self.clip.encode_images(shown).unflatten(0, batch.references.mask.shape)  # (n, M, D)
        cosine = (self.clip.encode_images(pictures)[:, None] * references).sum(-1)
        there = batch.references.mask.float()
        return ((1 - cosine) * there).sum(1) / there.sum(1).clamp_min(1)


class PixelLoss(PictureLoss):
    """‖x_gen − x‖², the mean over the pixels of the target photo x (first draft of the paper).

    Args:
        weight: See `ScheduledTerm`, as the rest.
    """

    name = "pixel"
    needs_pose = True

    def __init__(self, weight: float = 0.1, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)

    def forward(self, pictures: Tensor, batch: TrainingBatch, noises: Tensor | None = None) -> Tensor:
        """See `PictureLoss.forward`."""
        return F.mse_loss(pictures, batch.pictures * 0.5 + 0.5, reduction="none").mean((1, 2, 3))
