"""Graded words: correlation of the caption's word for build with the body in the image."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.regression import spearman_corrcoef
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.wording import BUILDS
from bolid.vision.readers import UNKNOWN, ProportionReader


class GradedWords(ImageMetric):
    """Spearman's rank correlation of the captions' words for build with the measured build; -1..1.

    `build_spread` is the spread of builds without such a word: about .9 if people vary as much as the rendered ones.
    Only samples of a whole figure count.

    Args:
        anthropometer: Regressor of `RATIOS` from images.
        full: Whether to use the words of the full captions, for images that are conditioned on more than their prompts.
    """

    describes = {
        "build_words_correlation": Description(
            "rank correlation of the captions' words with the bodies generated, -1 to 1",
            "higher",
            needs="a whole figure and a word for the build",
        ),
        "build_spread": Description(
            "of bodies where captions do not say, in standard deviations within a gender; about 0.93 in photos",
            needs="a whole figure and no word for the build",
        ),
    }
    higher_is_better = True
    levels: list[Tensor]
    readings: list[Tensor]

    def __init__(self, anthropometer: ProportionReader, full: bool = False) -> None:
        super().__init__()
        self.anthropometer, self.full = anthropometer, full
        self.add_rows("levels")
        self.add_rows("readings")

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1, compared with `batch.asked`, or `batch.full_asked`."""
        asked = batch.full_asked if self.full else batch.asked
        levels = torch.tensor([BUILDS.index(a["build"]) if "build" in a else UNKNOWN for a in asked])
        shown = batch.whole_figure.to(images.device)
        if shown.any():
            self.levels.append(levels.to(shown.device)[shown].float())
            self.readings.append(self.anthropometer.read(images[shown])[:, RATIOS.index("build")])

    def compute(self) -> dict[str, Tensor]:
        """`build_words_correlation`, and `build_spread` in within-gender standard deviations.

        Both are NaN below two images.
        """
        levels, readings = dim_zero_cat(self.levels), dim_zero_cat(self.readings)
        said, free = readings[levels != UNKNOWN], readings[levels == UNKNOWN]
        nothing = readings.new_tensor(torch.nan)
        return {
            "build_words_correlation": spearman_corrcoef(said, levels[levels != UNKNOWN]) if len(said) > 1 else nothing,
            "build_spread": free.std() if len(free) > 1 else nothing,
        }
