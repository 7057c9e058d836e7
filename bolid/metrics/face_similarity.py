"""Face similarity of generated images and references."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.utilities import dim_zero_cat

from bolid.core.pictures import to_uint8
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.vision.face import MIN_FACE
from bolid.vision.load import face_recogniser
from bolid.vision.pose import PoseNetwork

NEEDS = "references with a known face"


class FaceSimilarity(ImageMetric):
    """Mean cosine of the image's face embedding and the mean of the references', -1..1, where both are known.

    A face smaller than `min_face` or turned away is unknown; `face_found` is the share of known ones. The recogniser
    also conditions the images, so an independent one is a stronger test.

    Args:
        pose: Pose network that detects eyes and nose.
        face: The recogniser that embedded the references' faces.
        min_face: Minimum size of a face in pixels.
    """

    describes = {
        "face_similarity": Description("-1 to 1, of the faces that are known", "higher", needs=NEEDS),
        "face_found": Description("share of images whose face could be embedded, 0 to 1", "higher", needs=NEEDS),
    }
    higher_is_better = True
    cosines: list[Tensor]
    people: list[Tensor]
    asked: Tensor

    def __init__(self, pose: PoseNetwork, face: Path, min_face: float = MIN_FACE) -> None:
        super().__init__()
        self.pose, self.embedder = pose, face_recogniser(face, min_face)
        self.add_rows("cosines")
        self.add_rows("people", dtype=torch.int64)
        self.add_sum("asked")

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1, compared with the batch's references."""
        known = batch.references.face_mask.float()[..., None]  # (B, M, 1)
        theirs = F.normalize((batch.references.faces * known).sum(1), dim=1)  # (B, F)
        there = batch.references.face_mask.any(1)
        keypoints = self.pose.estimate(images).keypoints.cpu().numpy()
        photos, people = to_uint8(images), numbered(batch.identities).to(self.device)
        for row in torch.nonzero(there)[:, 0].tolist():
            embedding = self.embedder.embed(photos[row], keypoints[row])
            if embedding is not None:
                ours = torch.from_numpy(embedding).to(theirs)
                self.cosines.append((ours @ theirs[row])[None])
                self.people.append(people[row][None])
        self.asked += there.sum()

    def compute(self) -> dict[str, Tensor]:
        """`face_similarity`, and `face_found`, the share of images with a face, where references have one."""
        cosines = dim_zero_cat(self.cosines)
        return {"face_similarity": cosines.mean(), "face_found": (len(cosines) / self.asked).float()}

    def person_scores(self) -> dict[str, PersonScores]:
        """See `ImageMetric`."""
        with self.sync_context():
            return {"face_similarity": PersonScores(dim_zero_cat(self.cosines), dim_zero_cat(self.people))}
