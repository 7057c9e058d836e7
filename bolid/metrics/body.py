"""Body similarity of generated images and references by the Body-ID encoder."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.models.body_vae import load_body_vae
from bolid.models.crop import crop_to_person
from bolid.vision.base import Frozen
from bolid.vision.pose import PoseNetwork


class BodySimilarity(ImageMetric):
    """Mean cosine of c_body of the image and of the references, both centred on the training mean; -1..1.

    Only a sanity check, since the same encoder conditions the images. Images without a detected person count as 0;
    `body_found` is the share with one.

    Args:
        pose: Pose network that detects the person and the keypoints.
        encoder: Folder of a trained `BodyVAE`, the Body-ID encoder.

    Raises:
        BolidError: If the encoder is missing or unreadable.
    """

    describes = {
        "body_similarity": Description("-1 to 1, where an image without a person counts as 0", "higher"),
        "body_found": Description("share of images in which a person was found, 0 to 1", "higher"),
    }
    higher_is_better = True
    cosines: list[Tensor]
    people: list[Tensor]
    found: Tensor

    def __init__(self, pose: PoseNetwork, encoder: str) -> None:
        super().__init__()
        self.pose = pose
        self.encoder = Frozen(load_body_vae(encoder))
        self.add_rows("cosines")
        self.add_rows("people", dtype=torch.int64)
        self.add_sum("found")

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1, compared with the batch's references."""
        pose = self.pose.estimate(images)
        size = (batch.references.pictures.shape[-2], batch.references.pictures.shape[-1])
        crops, keypoints = crop_to_person(images * 2 - 1, pose.keypoints, pose.box, size)
        detected = pose.score > 0  # (B,)
        ours = self._encode(crops[:, None], keypoints[:, None], torch.ones_like(detected)[:, None])
        theirs = self._encode(batch.references.pictures, batch.references.keypoints, batch.references.mask)
        cosine = F.cosine_similarity(ours, theirs)  # (B,)
        self.cosines.append(torch.where(detected, cosine, 0.0))
        self.people.append(numbered(batch.identities).to(cosine.device))
        self.found += detected.sum()

    def compute(self) -> dict[str, Tensor]:
        """`body_similarity`, and `body_found`, the share of images with a person, 0..1."""
        cosines = dim_zero_cat(self.cosines)
        return {"body_similarity": cosines.mean(), "body_found": (self.found / len(cosines)).float()}

    def person_scores(self) -> dict[str, PersonScores]:
        """See `ImageMetric`."""
        with self.sync_context():
            return {"body_similarity": PersonScores(dim_zero_cat(self.cosines), dim_zero_cat(self.people))}

    def _encode(self, images: Tensor, keypoints: Tensor, mask: Tensor) -> Tensor:
        network = self.encoder.network
        return network.encode(images, keypoints, mask).mean.float() - network.mean_code.float()  # (B, d)
