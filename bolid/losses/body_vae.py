"""Loss of stage 1: likelihood of a held-out photo of a person given the code of other photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.losses.contrastive import info_nce
from bolid.losses.limbs import FEWEST, limb_error, limbs_seen
from bolid.losses.reconstruction import gaussian_nll, mse_by_scale, weighted_mse
from bolid.models.body_vae import BodyVAE, Posterior, smaller
from bolid.models.gaussian import gaussian_weight
from bolid.models.window import cut, has_trunk


@dataclass
class Decoding:
    """Inputs of the decoder besides the code, and the number of samples decoded.

    Attributes:
        pose: The held-out photo's pose on the `average` body, or the person's `own` keypoints, which reveal most of the
            body's shape and all limb lengths: with those set the loss's `limb_dims: 0`.
        caption: Whether it receives the caption, so that the code need not encode clothes and background.
            `data.train.caption_dropout` should drop the body, gender and hair, which the code should encode.
        max_samples: Number of samples, from the start of the batch, whose photos are decoded whole and compared with
            another outfit; null for all. They cost as much as the rest, which gains more from a large batch.
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
    """Inputs of the decoder for B samples: code (B, d), pose (B, 17, 3) and caption features (B, text_dim)."""

    code: Tensor
    pose: Tensor
    text: Tensor

    def first(self, count: int | None) -> Decoded:
        """The first `count` samples."""
        return Decoded(*(values[:count] for values in self))


@dataclass
class BodyVAELoss:
    """−log p(photo, outlines, limbs | c, pose, caption) + β·KL + contrast·InfoNCE + consistency·J, c ~ q(c | others).

    J is the divergence of the posteriors of a photo and of the same photo in another outfit, each possibly mirrored.

    Attributes:
        beta: Weight β of the KL term after warm-up.
        beta_warmup: Number of steps over which β rises from 0.
        contrast: Weight of InfoNCE between the references and the held-out photo.
        consistency: Weight of J, which needs photos rendered in two outfits and `data.train.second_outfit: true`; 0 for
            photos of real people, which have no such pairs.
        picture_dims: Number of independent values in an image (see `gaussian_nll`).
        silhouette_dims: The same for a silhouette, at each scale (see `mse_by_scale`); 0 decodes none.
        trunk_dims: The same for the silhouette along the trunk, which shows the girths; cheap, so for all samples.
        limb_dims: The same for limb lengths relative to the average body's, see `limb_error`; 0 omits the term, as
            where that pose is not known exactly (photos of real people).
    """

    beta: float = 1.0
    beta_warmup: int = 500
    contrast: float = 10.0
    consistency: float = 0.0
    picture_dims: float = 500.0
    silhouette_dims: float = 250.0
    trunk_dims: float = 250.0
    limb_dims: float = 1000.0

    def __call__(
        self,
        model: BodyVAE,
        batch: TrainingBatch,
        posterior: Posterior,
        given: Decoded,
        count: int | None,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The terms, each a scalar in nats per sample.

        Args:
            model: Encoder and decoder.
            batch: B samples.
            posterior: Posterior of their references.
            given: Inputs of the decoder; the code is a sample of the posterior.
            count: Number of samples decoded whole, from the start of the batch; None for all.
            generator: Generator for the codes of the held-out photos.
        """
        # The held-out photo is a set of one view, encoded with detected keypoints like the references.
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
        """−log p(photo | c, pose, caption), and the same for its silhouette."""
        shrink = model.config.shrink
        pictures, silhouettes = (F.avg_pool2d(truth, shrink) for truth in (batch.pictures, batch.silhouettes))
        decoded = model.decode(given.code, smaller(given.pose, shrink), given.text)
        weight = gaussian_weight(smaller(batch.keypoints, shrink), pictures.shape[-2:], model.config.sigma)
        picture = weighted_mse(decoded.picture, pictures, weight)
        outlines = mse_by_scale(decoded.silhouette, silhouettes)  # (scales, B)
        terms = [gaussian_nll(e, batch.silhouette_known, self.silhouette_dims) for e in outlines]
        return {"picture": gaussian_nll(picture, dims=self.picture_dims), "silhouette": torch.stack(terms).sum()}

    def trunk(self, model: BodyVAE, batch: TrainingBatch, given: Decoded) -> Tensor:
        """−log p(silhouette of the trunk | c, pose, caption)."""
        shrink = model.config.shrink  # the window's pixels are larger than the crop's, so it samples averages
        outline = cut(F.avg_pool2d(batch.silhouettes, shrink), smaller(batch.keypoints, shrink))
        claimed = model.decoder.outline(given.code, given.pose, given.text, batch.silhouettes.shape[-2])
        error = (claimed - outline).square().mean((1, 2, 3))
        return gaussian_nll(error, trunk_known(batch), self.trunk_dims)

    def outfits(self, model: BodyVAE, batch: TrainingBatch, held_out: Posterior) -> Tensor:
        """J, the mean over the samples with another outfit; 0 if its weight is 0."""
        known = outfit_known(batch)
        if not (self.consistency and known.any()):
            return held_out.mean.new_zeros(())
        other = model.encode(batch.outfit.pictures, batch.outfit.keypoints, batch.outfit.mask)
        return held_out.divergence(other)[known].mean()

    def scored(self) -> dict[str, tuple[str, Callable[[TrainingBatch], Tensor], str]]:
        """Active term -> its setting, the function to its mask (B,) bool, and what samples need for it."""
        terms: dict[str, tuple[str, Callable[[TrainingBatch], Tensor], str]] = {
            "silhouette": ("silhouette_dims", silhouette_known, "photos with a silhouette"),
            "trunk": ("trunk_dims", trunk_known, "photos with a silhouette that show shoulders and hips"),
            "limbs": ("limb_dims", limbs_known, f"photos that show {FEWEST} limbs"),
            "consistency": ("consistency", outfit_known, "photos in a second outfit (data.train.second_outfit: true)"),
        }
        weights = asdict(self)
        return {term: found for term, found in terms.items() if weights[found[0]]}

    def total(self, terms: dict[str, Tensor], step: float) -> Tensor:
        """The loss at a step: scalar; at infinity with the final β."""
        # Both terms pull codes together, and would collapse them before the decoder uses them.
        warm = min(1.0, (step + 1) / max(1, self.beta_warmup))
        same = self.beta * terms["kl"] + self.consistency * terms["consistency"]  # minimal if all codes are equal
        decoded = terms["picture"] + terms["silhouette"] + terms["trunk"] + terms["limbs"]
        return decoded + self.contrast * terms["contrast"] + warm * same


def limbs_known(batch: TrainingBatch) -> Tensor:
    """(B,) bool: whether enough limbs are visible to compare their lengths."""
    return limbs_seen(batch.keypoints_canonical, batch.keypoints)


def silhouette_known(batch: TrainingBatch) -> Tensor:
    """(B,) bool: whether the photo's silhouette is known."""
    return batch.silhouette_known


def trunk_known(batch: TrainingBatch) -> Tensor:
    """(B,) bool: whether the silhouette is known, and shoulders and hips are visible."""
    return has_trunk(batch.keypoints) & batch.silhouette_known


def outfit_known(batch: TrainingBatch) -> Tensor:
    """(B,) bool: whether the sample has a photo in another outfit."""
    return batch.outfit.mask.any(1)
