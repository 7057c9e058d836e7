"""Caption retrieval accuracy of a CLIP."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.vision.clip import ClipModel


class CaptionRetrieval(ImageMetric):
    """Share of images that find their full caption among those of a group, and of captions that find their image.

    Images are dealt to groups of `size` that have different captions; the groups' shares are averaged.

    Args:
        clip: CLIP to evaluate.
        size: Images, and captions, in a group; by chance one in `size` is found.
    """

    higher_is_better = True
    images: list[Tensor]
    texts: list[Tensor]
    captions: list[Tensor]

    def __init__(self, clip: ClipModel, size: int = 64) -> None:
        super().__init__()
        self.clip, self.size = clip, size
        self.describes = {f"top1_of_{size}": Description(f"0 to 1; 1/{size} by chance", "higher")}
        self.add_rows("images", clip.num_features)
        self.add_rows("texts", clip.num_features)
        self.add_rows("captions", dtype=torch.int64)

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1 with `batch.full_captions`."""
        self.images.append(self.clip.encode_images(pictures))
        self.texts.append(self.clip.encode_texts(batch.full_captions))
        self.captions.append(numbered(batch.full_captions).to(pictures.device))

    def compute(self) -> dict[str, Tensor]:
        """`top1_of_<size>/picture_to_caption` and `top1_of_<size>/caption_to_picture`, each in 0..1.

        Raises:
            BolidError: If there are too few images for a single group.
        """
        images, texts = dim_zero_cat(self.images), dim_zero_cat(self.texts)
        groups = different(dim_zero_cat(self.captions).tolist(), self.size)
        if not groups:
            raise BolidError(
                f"caption retrieval needs {self.size} photos with different captions, there are {len(images)} photos: "
                "raise data.rendered.test.people"
            )
        scores = torch.stack([images[group] @ texts[group].T for group in groups])  # (groups, images, captions)
        own = torch.arange(self.size, device=scores.device)
        return {
            f"top1_of_{self.size}/picture_to_caption": (scores.argmax(2) == own).float().mean(),
            f"top1_of_{self.size}/caption_to_picture": (scores.argmax(1) == own).float().mean(),
        }


def different(labels: list[int], size: int) -> list[list[int]]:
    """Deals positions to groups of `size` whose labels differ, each to the first that takes it; full groups only."""
    groups: list[dict[int, int]] = []  # label -> position
    for position, label in enumerate(labels):
        takes = (group for group in groups if len(group) < size and label not in group)
        group = next(takes, None)
        if group is None:
            groups.append(group := {})
        group[label] = position
    return [list(group.values()) for group in groups if len(group) == size]
