"""Stage 1's loss: a held-out photo of a person, from a code of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.losses.contrastive import info_nce
from bolid.losses.limbs import limb_error
from bolid.losses.reconstruction import gaussian_nll, mse_by_scale, weighted_mse
from bolid.models.body_vae import BodyVAE, Posterior, smaller
from bolid.models.gaussian import gaussian_weight
from bolid.models.window import cut, has_trunk


@dataclass
class Decoding:
    """What the decoder receives beside the code, and how much it decodes.

    Attributes:
        pose: The held-out photo's pose on the `average` body, or the person's `own` keypoints, which give most of the
            body's shape away, and limbs' lengths in full: set the loss's `limb_dims: 0`.
        caption: Whether it receives the caption, so that the code need not hold clothes and background.
            `data.train.caption_dropout` is to leave out the body, gender and hair, which the code is to hold.
        max_samples: Samples of a batch, the first ones, whose photos are decoded whole and compared with another
            outfit; null: all. These cost as much as all else, which learns more from many people.
    """

    pose: Literal["average", "own"] = "average"
    caption: bool = True
    max_samples: int | None = None

    def __post_init__(self) -> None:
        if self.max_samples is not None and self.max_samples < 1:
            raise BolidError(f"decoding.max_samples is {self.max_samples}: decode at least one sample, or null for all")

    def pose_of(self, batch: TrainingBatch) -> Tensor:
        """The keypoints that the decoder receives: (B, 17, 3) in pixels of the crop, confidence."""
        return batch.keypoints if self.pose == "own" else batch.keypoints_canonical


class Decoded(NamedTuple):
    """What the decoder receives of B samples: code (B, d), pose (B, 17, 3) and caption features (B, text_dim)."""

    code: Tensor
    pose: Tensor
    text: Tensor

    def first(self, count: int | None) -> Decoded:
        """Of the first samples."""
        return Decoded(*(values[:count] for values in self))


class BodyVAELoss(nn.Module):
    """−log p(photo, outlines, limbs | c, pose, caption) + β·KL + contrast·InfoNCE + consistency·J, c ~ q(c | others).

    J is the divergence of what a photo tells of the person from what the same one in another outfit tells, where each
    may be mirrored.

    Args:
        beta: Weight of the KL term once warmed up.
        beta_warmup: Steps over which β rises from zero.
        contrast: Weight of InfoNCE between the references and the held-out photo.
        consistency: Weight of J; it needs photos rendered in two outfits and `data.train.second_outfit: true`. Photos
            of real people have no such pairs: set it to 0.
        picture_dims: Independent values in a picture (see `gaussian_nll`).
        silhouette_dims: Independent values in a silhouette, at each scale (see `mse_by_scale`); 0: none is decoded.
        trunk_dims: The same of the silhouette along the trunk, where girths are; cheap, so of all samples.
        limb_dims: The same of the lengths of limbs against the average body's, see `limb_error`; 0: they are not asked
            for, as where that pose is made up (photos of real people).
    """

    def __init__(
        self,
        beta: float = 1.0,
        beta_warmup: int = 500,
        contrast: float = 10.0,
        consistency: float = 0.0,
        picture_dims: float = 500.0,
        silhouette_dims: float = 250.0,
        trunk_dims: float = 250.0,
        limb_dims: float = 1000.0,
    ):
        super().__init__()
        self.beta, self.beta_warmup, self.contrast, self.consistency = beta, beta_warmup, contrast, consistency
        self.picture_dims, self.silhouette_dims = picture_dims, silhouette_dims
        self.trunk_dims, self.limb_dims = trunk_dims, limb_dims

    def forward(
        self,
        model: BodyVAE,
        batch: TrainingBatch,
        posterior: Posterior,
        given: Decoded,
        count: int | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The terms, each a scalar in nats a sample.

        Args:
            model: Encoder and decoder.
            batch: B samples.
            posterior: Of their references.
            given: What the decoder receives, its code a sample of the posterior.
            count: Samples decoded whole, the first ones; None for all.
            generator: Of the held-out photos' codes.
        """
        there = torch.ones_like(batch.references.mask[:, :1])
        held_out = model.encode(batch.pictures[:, None], batch.keypoints_found[:, None], there)
        few, part = given.first(count), batch[:count]
        limbs = limb_error(model.decoder.lengths(given.code), given.pose, batch.keypoints)
        return self.whole(model, part, few) | {
            "trunk": self.trunk(model, batch, given),
            "limbs": gaussian_nll(*limbs, dims=self.limb_dims),
            "kl": posterior.kl().mean(),
            "contrast": info_nce(given.code, held_out.sample(generator), batch.identities),
            "consistency": self.outfits(model, part, Posterior(held_out.mean[:count], held_out.logvar[:count])),
        }

    def whole(self, model: BodyVAE, batch: TrainingBatch, given: Decoded) -> dict[str, Tensor]:
        """−log p(photo | c, pose, caption) and of its silhouette."""
        shrink = model.config.shrink
        pictures, silhouettes = (F.avg_pool2d(truth, shrink) for truth in (batch.pictures, batch.silhouettes))
        decoded = model.decode(given.code, smaller(given.pose, shrink), given.text)
        weight = gaussian_weight(smaller(batch.keypoints, shrink), pictures.shape[-2:], model.config.sigma)
        picture = weighted_mse(decoded.picture, pictures, weight)
        outlines = mse_by_scale(decoded.silhouette, silhouettes)  # (scales, B)
        terms = [gaussian_nll(e, batch.silhouette_known, self.silhouette_dims) for e in outlines]
        return {"picture": gaussian_nll(picture, dims=self.picture_dims), "silhouette": torch.stack(terms).sum()}

    def trunk(self, model: BodyVAE, batch: TrainingBatch, given: Decoded) -> Tensor:
        """−log p(outline of the trunk | c, pose, caption)."""
        shrink = model.config.shrink  # the window's pixels are larger than the crop's: what it samples is a mean
        outline = cut(F.avg_pool2d(batch.silhouettes, shrink), smaller(batch.keypoints, shrink))
        claimed = model.decoder.outline(given.code, given.pose, given.text, batch.silhouettes.shape[-2])
        error = (claimed - outline).square().mean((1, 2, 3))
        return gaussian_nll(error, trunk_known(batch), self.trunk_dims)

    def outfits(self, model: BodyVAE, batch: TrainingBatch, held_out: Posterior) -> Tensor:
        """J, the mean over the samples that show another outfit; 0 if it does not count."""
        shown = outfit_known(batch)
        if not (self.consistency and shown.any()):
            return held_out.mean.new_zeros(())
        other = model.encode(batch.outfit.pictures, batch.outfit.keypoints, batch.outfit.mask)
        return held_out.divergence(other)[shown].mean()

    def total(self, terms: dict[str, Tensor], step: float) -> Tensor:
        """The loss in a step: scalar; at infinity β has risen."""
        warm = min(1.0, (step + 1) / max(1, self.beta_warmup))
        same = self.beta * terms["kl"] + self.consistency * terms["consistency"]  # least where all have one code
        decoded = terms["picture"] + terms["silhouette"] + terms["trunk"] + terms["limbs"]
        return decoded + self.contrast * terms["contrast"] + warm * same


def trunk_known(batch: TrainingBatch) -> Tensor:
    """(B,) bool, whether the silhouette is known, and shoulders and hips are seen."""
    return has_trunk(batch.keypoints) & batch.silhouette_known


def outfit_known(batch: TrainingBatch) -> Tensor:
    """(B,) bool, whether the sample shows another outfit."""
    return batch.outfit.mask.any(1)
