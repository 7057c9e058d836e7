"""Networks simple enough to know the answers by heart."""

import torch
from torch import nn

from bolid.core.schema import References, TrainingBatch, Views
from bolid.vision.base import FeatureNetwork


class Pixels(FeatureNetwork):
    """Features and logits are fixed linear maps of the pixels."""

    name, num_features, num_classes = "pixels", 6, 4

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Linear(3 * 4 * 4, 6 + 4))

    def features(self, pictures):
        return self.network(pictures.flatten(1))[:, :6]

    def logits(self, pictures):
        return 9 * self.network(pictures.flatten(1))[:, 6:]


def make_batch(pictures, references=1, size=(96, 64)):
    """A TrainingBatch around photos (B, 3, H, W) in -1..1; everything else is random or empty."""
    count = len(pictures)
    generator = torch.Generator().manual_seed(count)
    reference_pictures = torch.rand(count, references, 3, *size, generator=generator) * 2 - 1
    return TrainingBatch(
        pictures=pictures,
        captions=[f"a photo of a person, number {i}" for i in range(count)],
        full_captions=["a photo of a woman"] * count,
        asked=[{} for _ in range(count)],
        full_asked=[{"gender": "woman"} for _ in range(count)],
        keypoints=torch.zeros(count, 17, 3),
        keypoints_found=torch.zeros(count, 17, 3),
        keypoints_canonical=torch.zeros(count, 17, 3),
        silhouettes=torch.zeros(count, 1, *pictures.shape[-2:]),
        silhouette_known=torch.zeros(count, dtype=torch.bool),
        whole_figure=torch.zeros(count, dtype=torch.bool),
        time_ids=torch.zeros(count, 6),
        references=References(
            pictures=reference_pictures,
            keypoints=torch.rand(count, references, 17, 3, generator=generator) * 60,
            mask=torch.ones(count, references, dtype=torch.bool),
            faces=torch.zeros(count, references, 512),
            face_mask=torch.zeros(count, references, dtype=torch.bool),
            pose=torch.zeros(count, 17, 3),
            proportions=torch.full((count, 7), torch.nan),
            names=[[f"p{i}_1.png"] for i in range(count)],
            captions=[["a photo of a woman"]] * count,
            attributes=[[{"gender": "woman"}]] * count,
        ),
        outfit=Views(torch.zeros(count, 0, 3, 96, 64), torch.zeros(count, 0, 17, 3), torch.zeros(count, 0).bool()),
        groups=torch.arange(count),
        identities=[f"p{i}" for i in range(count)],
        families=[f"p{i}" for i in range(count)],
        file_names=[f"p{i}_0.png" for i in range(count)],
    )
