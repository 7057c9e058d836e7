"""Graded words: the heavier the caption's word, the heavier the body in the picture?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.regression import spearman_corrcoef
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.readers.readers import UNSAID, Anthropometer
from bolid.synthetic.wording import build_level, shows_figure


class GradedWords(ImageMetric):
    """Spearman's rank correlation of the captions' words for build with the build read off the pictures; -1..1.

    Beside it the spread of builds where the caption says nothing of it: about .9 if people differ as much as the
    rendered do. Captions that do not ask for a whole figure do not count.

    Args:
        anthropometer: Reads the pictures.
        full: Whether the words are those of the full captions, for pictures that may say by other means than their
            prompts what these leave out.
    """

    higher_is_better = True
    levels: list[Tensor]
    readings: list[Tensor]

    def __init__(self, anthropometer: Anthropometer, full: bool = False) -> None:
        super().__init__()
        self.anthropometer, self.full = anthropometer, full
        self.add_rows("levels")
        self.add_rows("readings")

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1, compared with `batch.captions`, or the full ones."""
        captions = batch.full_captions if self.full else batch.captions
        shown = [i for i, caption in enumerate(captions) if shows_figure(caption)]
        if shown:
            levels = [build_level(captions[i]) for i in shown]
            said = [UNSAID if level is None else level for level in levels]
            self.levels.append(torch.tensor(said, dtype=torch.float32, device=pictures.device))
            self.readings.append(self.anthropometer.read(pictures[shown])[:, RATIOS.index("build")])

    def compute(self) -> dict[str, Tensor]:
        """`build_words_correlation`, and `build_spread` in within-gender standard deviations.

        Neither is a number below two pictures.
        """
        levels, readings = dim_zero_cat(self.levels), dim_zero_cat(self.readings)
        said, free = readings[levels != UNSAID], readings[levels == UNSAID]
        nothing = readings.new_tensor(torch.nan)
        return {
            "build_words_correlation": spearman_corrcoef(said, levels[levels != UNSAID]) if len(said) > 1 else nothing,
            "build_spread": free.std() if len(free) > 1 else nothing,
        }
