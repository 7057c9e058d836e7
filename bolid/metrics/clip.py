"""CLIP score: does the picture show what the prompt says?"""

from __future__ import annotations

from torch import Tensor

from bolid.core.schema import PersonBatch
from bolid.experts.clip import ClipModel
from bolid.metrics.base import PictureMetric, full_precision


class ClipScore(PictureMetric):
    """Mean over the pictures of max(0, 100 · cos(picture, prompt)), in 0..100; more is better.

    Args:
        clip: Compares them; it should not be the one that trained anything.
    """

    higher_is_better = True
    total: Tensor
    count: Tensor

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.clip = clip
        self.add_sum("total")
        self.add_sum("count")

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1, compared with `batch.captions`, which they were drawn from."""
        cosine = (self.clip.encode_images(pictures) * self.clip.encode_texts(batch.captions)).sum(1)  # (B,)
        self.total += (100 * cosine).clamp_min(0).double().sum()
        self.count += len(pictures)

    def compute(self) -> dict[str, Tensor]:
        """`clip_score/<network>`."""
        return {f"clip_score/{self.clip.name}": (self.total / self.count).float()}
