"""Graded words: the heavier the caption's word, the heavier the body in the picture?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.regression import spearman_corrcoef
from torchmetrics.utilities import dim_zero_cat

from bolid.core.measures import RATIOS
from bolid.core.schema import PersonBatch
from bolid.core.wording import build_level, shows_figure
from bolid.experts.perception import Anthropometer
from bolid.metrics.base import PictureMetric, full_precision


class GradedWords(PictureMetric):
    """Spearman's rank correlation of the captions' words for build with the build read off the pictures; -1..1.

    Captions without such a word, or that do not ask for a whole figure, do not count.

    Args:
        anthropometer: Reads the pictures.
    """

    higher_is_better = True
    levels: list[Tensor]
    readings: list[Tensor]

    def __init__(self, anthropometer: Anthropometer) -> None:
        super().__init__()
        self.anthropometer = anthropometer
        self.add_rows("levels")
        self.add_rows("readings")

    @full_precision
    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1, compared with `batch.captions`, which they were drawn from."""
        said = [
            (i, level)
            for i, caption in enumerate(batch.captions)
            if shows_figure(caption) and (level := build_level(caption)) is not None
        ]
        if said:
            rows, levels = zip(*said, strict=True)
            self.levels.append(torch.tensor(levels, dtype=torch.float32, device=pictures.device))
            self.readings.append(self.anthropometer.read(pictures[list(rows)])[:, RATIOS.index("build")])

    def compute(self) -> dict[str, Tensor]:
        """`build_words_correlation`; not a number below two pictures."""
        levels, readings = dim_zero_cat(self.levels), dim_zero_cat(self.readings)
        enough = len(levels) > 1
        score = spearman_corrcoef(readings, levels) if enough else readings.new_tensor(torch.nan)
        return {"build_words_correlation": score}
