"""CLIP score of generated images and prompts."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.vision.clip import ClipModel


class ClipScore(ImageMetric):
    """Mean over images of max(0, 100 · cos(image, prompt)) (Hessel et al. 2021), in 0..100; higher is better.

    `clip_score_shuffled` scores the prompt of the batch's next image, the score that any prompt gets.

    Args:
        clip: CLIP model; use another one than the losses'.
    """

    describes = {
        "clip_score": Description("0 to 100", "higher"),
        "clip_score_shuffled": Description("of the next image's prompt: what any prompt scores"),
    }
    higher_is_better = True
    own: list[Tensor]
    shuffled: list[Tensor]
    people: list[Tensor]

    def __init__(self, clip: ClipModel) -> None:
        super().__init__()
        self.clip = clip
        self.add_rows("own")
        self.add_rows("shuffled")  # NaN for a batch of one image
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1, compared with `batch.captions`, their prompts."""
        seen, asked = self.clip.encode_images(images), self.clip.encode_texts(batch.captions)
        own, shuffled = ((100 * (seen * texts).sum(1)).clamp_min(0) for texts in (asked, asked.roll(1, 0)))
        self.own.append(own)
        self.shuffled.append(shuffled if len(asked) > 1 else torch.full_like(own, torch.nan))
        self.people.append(numbered(batch.identities).to(own.device))

    def compute(self) -> dict[str, Tensor]:
        """`clip_score/<network>` and, unless every batch held one image, `clip_score_shuffled/<network>`."""
        own, shuffled = dim_zero_cat(self.own).double().mean(), dim_zero_cat(self.shuffled).double().nanmean()
        return {f"clip_score/{self.clip.name}": own.float(), f"clip_score_shuffled/{self.clip.name}": shuffled.float()}

    def person_scores(self) -> dict[str, PersonScores]:
        """See `ImageMetric`."""
        with self.sync_context():
            own, shuffled, people = (dim_zero_cat(rows) for rows in (self.own, self.shuffled, self.people))
        known = shuffled.isfinite()
        return {
            f"clip_score/{self.clip.name}": PersonScores(own, people),
            f"clip_score_shuffled/{self.clip.name}": PersonScores(shuffled[known], people[known]),
        }
