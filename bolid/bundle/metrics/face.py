"""Face verification: whether two photos show the same person."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc
from torchmetrics.utilities import dim_zero_cat

from bolid.core.pictures import to_uint8
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, numbered
from bolid.vision.face import EMBEDDING, FaceEmbedder


class FaceVerification(ImageMetric):
    """Area under the ROC curve of the cosines of photos of one person against those of two people, over all pairs.

    Photos whose face is turned away or too small do not count; `faces_found` is the share of the others.

    Args:
        embedder: Recogniser to evaluate.
    """

    describes = {
        "verification_auc": Description("0.5 by chance, to 1", "higher"),
        "faces_found": Description("share of photos whose face could be embedded, 0 to 1", "higher"),
    }
    higher_is_better = True
    embeddings: list[Tensor]
    people: list[Tensor]
    count: Tensor

    def __init__(self, embedder: FaceEmbedder) -> None:
        super().__init__()
        self.embedder = embedder
        self.add_rows("embeddings", EMBEDDING)
        self.add_rows("people", dtype=torch.int64)
        self.add_sum("count")

    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds photos (B, 3, H, W) in 0..1 with the batch's keypoints and identities."""
        photos, keypoints = to_uint8(images), batch.keypoints.float().cpu().numpy()
        people = numbered(batch.identities)
        for photo, points, person in zip(photos, keypoints, people, strict=True):
            embedding = self.embedder.embed(photo, points)
            if embedding is not None:
                self.embeddings.append(torch.from_numpy(embedding)[None].to(self.device))
                self.people.append(person[None].to(self.device))
        self.count += len(images)

    def compute(self) -> dict[str, Tensor]:
        """`verification_auc` and `faces_found`, each in 0..1."""
        embeddings, people = dim_zero_cat(self.embeddings), dim_zero_cat(self.people)
        found = (len(people) / self.count).float()
        return {"verification_auc": verification_auc(embeddings, people), "faces_found": found}


def verification_auc(embeddings: Tensor, people: Tensor) -> Tensor:
    """P(cosine of two photos of one person > cosine of two people's), over all pairs: scalar.

    Args:
        embeddings: (N, D) of length 1.
        people: (N,) a number for each person.
    """
    pairs = torch.ones(len(people), len(people), dtype=torch.bool, device=people.device).triu(1)
    same = (people[:, None] == people)[pairs]
    return binary_auroc((embeddings @ embeddings.T)[pairs], same.int())
