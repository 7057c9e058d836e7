"""Trains the bundle's anthropometer: body proportions from an image of a whole figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.perception import PerceptionTask, RawAndRoundTrip, moved
from bolid.core.keypoints import FLIP
from bolid.core.schema import TrainingBatch
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.metrics.body_shape import ReadingAccuracy
from bolid.synthetic.readers import Anthropometer
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork, Reading
from bolid.tasks.coverage import Part


class AnthropometerTask(PerceptionTask):
    """Squared error of the proportions in within-gender standard deviations, with auxiliary joints and silhouette.

    Photos without a whole figure or known proportions train joints and silhouette only.

    Args:
        network: Network to train.
        joints: Weight of the joints' mean distance in shares of the image.
        spots: Weight of the cross-entropy of the joints' maps with a spot at each joint, which localises joints early
            in training; the distances refine them.
        outline: Weight of the silhouette's cross-entropy.
        kwargs: See `PerceptionTask`.
    """

    def __init__(
        self,
        network: AnthropometerNetwork,
        joints: float = 10.0,
        spots: float = 0.3,
        outline: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(network=network, **kwargs)
        self.joints, self.spots, self.outline = joints, spots, outline

    def parts(self) -> dict[str, Part]:
        """See `BaseTask.parts`."""
        needs = "photos of whole figures of people whose proportions are known"
        return {"ratios": Part(teaches_ratios, needs, "data.folder to one of rendered people")}

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The loss of a batch: scalar; logs every term."""
        pictures, mirrored, move = self.augment(batch, self.step_generator())
        terms = self.losses(self.network(pictures), batch, mirrored, move)
        places = self.joints * terms["joints"] + self.spots * terms["spots"]
        loss = terms["ratios"] + places + self.outline * terms["outline"]
        self.log_dict({f"train/{k}": v for k, v in terms.items()} | {"train/loss": loss}, prog_bar=True)
        return loss

    def losses(self, reading: Reading, batch: TrainingBatch, mirrored: Tensor, move: Tensor) -> dict[str, Tensor]:
        """The terms, each a scalar, for photos that `augment` mirrored (B,) and moved (B, 2)."""
        places, seen = moved_joints(batch, mirrored, move)
        outline = torch.where(mirrored[:, None, None, None], batch.silhouettes.flip(-1), batch.silhouettes)
        outline = F.avg_pool2d(moved(outline, move), 2)  # (B, 1, H/2, W/2)
        blurry = F.binary_cross_entropy_with_logits(reading.silhouette.float(), outline, reduction="none")
        known = batch.silhouette_known[:, None, None, None].expand_as(blurry)
        return {
            "ratios": self.ratios_loss(reading, batch),
            "joints": ((reading.keypoints - places).abs() * seen).sum() / seen.sum().clamp_min(1) / 2,
            "spots": (spot_loss(reading.maps, places) * seen[..., 0]).sum() / seen.sum().clamp_min(1),
            "outline": (blurry * known).sum() / known.sum().clamp_min(1),
        }

    def ratios_loss(self, reading: Reading, batch: TrainingBatch) -> Tensor:
        """Mean squared error over photos with known proportions, 0 without any: scalar."""
        shown = teaches_ratios(batch)
        if not shown.any():
            return reading.ratios.sum() * 0.0
        return F.mse_loss(reading.ratios[shown].float(), batch.references.proportions[shown])

    def new_score(self, folder: Path) -> RawAndRoundTrip:
        """R² on photos of held-out people."""
        return RawAndRoundTrip(ReadingAccuracy(Anthropometer(folder)), self.vae)


def teaches_ratios(batch: TrainingBatch) -> Tensor:
    """(B,) bool: photos of a whole figure of a person whose proportions are known."""
    return batch.whole_figure & batch.references.shape_known(len(RATIOS))


def spot_loss(maps: Tensor, places: Tensor) -> Tensor:
    """Divergence of maps (B, K, h, w) of logits from a Gaussian spot at `places` (B, K, 2): (B, K) in nats.

    The spot's standard deviation is a cell; its centre lies between cells where the joint does.
    """
    height, width = maps.shape[-2:]
    rows, columns = (torch.arange(n, device=maps.device) + 0.5 for n in (height, width))
    y, x = places[..., 1:] * height - rows, places[..., :1] * width - columns  # (B, K, h), (B, K, w)
    spot = (-0.5 * (y[..., :, None] ** 2 + x[..., None, :] ** 2)).flatten(2).log_softmax(-1)
    return (spot.exp() * (spot - maps.flatten(2).log_softmax(-1))).sum(-1)


def moved_joints(batch: TrainingBatch, mirrored: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
    """The keypoints of mirrored and moved photos: (B, 17, 2) as shares of the size, and (B, 17, 1) whether known."""
    size = batch.keypoints.new_tensor([batch.pictures.shape[-1], batch.pictures.shape[-2]])
    places, seen = batch.keypoints[..., :2] / size, (batch.keypoints[..., 2:] > 0).float()
    turned = places[:, list(FLIP)] * places.new_tensor([-1.0, 1.0]) + places.new_tensor([1.0, 0.0])
    rows = mirrored[:, None, None]
    return torch.where(rows, turned, places) + move[:, None], torch.where(rows, seen[:, list(FLIP)], seen)
