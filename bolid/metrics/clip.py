"""CLIP score: does the picture show what the prompt says?"""

from __future__ import annotations

from torch import Tensor

from bolid.core.schema import PersonBatch
from bolid.experts.clip import ClipModel
from bolid.metrics.base import PictureMetric, full_precision


class ClipScore(PictureMetric):
    """Mean over the pictures of max(0, 100 · cos(picture, prompt)), in 0..100; more is better.

    Beside it what the prompt of the batch's next picture scores: how much of the score any prompt gets.

    Args:
        clip: Compares them; it should not be the one that trained anything.
    """

    higher_is_better = True
    total: Tensor  # with the own prompts, and with others'
    count: Tensor

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.clip = clip
        self.add_sum("total", 2)
        self.add_sum("count", 2)

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1, compared with `batch.captions`, which they were drawn from."""
        seen, told = self.clip.encode_images(pictures), self.clip.encode_texts(batch.captions)
        for row, texts in enumerate((told, told.roll(1, 0)) if len(told) > 1 else (told,)):
            self.total[row] += (100 * (seen * texts).sum(1)).clamp_min(0).double().sum()
            self.count[row] += len(pictures)

    def compute(self) -> dict[str, Tensor]:
        """`clip_score/<network>` and, unless every batch was of one picture, `clip_score_shuffled/<network>`."""
        own, others = (self.total / self.count).float()
        return {f"clip_score/{self.clip.name}": own, f"clip_score_shuffled/{self.clip.name}": others}
