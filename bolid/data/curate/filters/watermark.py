"""Filter of photos with a watermark."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.watermark import WatermarkMeasure


@dataclass
class Watermark(Filter):
    """Rejects photos with a visible watermark.

    Attributes:
        network: Folder of the embedded network, whose accuracy is part of the verdicts, or a file of the public
            convnext-tiny (.pth or .safetensors).
        score: Minimum score of a watermark, 0 to 1.
    """

    network: str = "data/tiny/watermark"
    score: float = 0.5
    name = "watermark"

    def measure(self) -> Measure:
        """The network's answer."""
        return WatermarkMeasure(self.network)

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Reads the scores."""
        self._scores = photos.numbers("watermark", "score")

    def judge(self, photos: Photos, k: int) -> str:
        """Marked or not."""
        found = self._scores[k]
        if not np.isfinite(found):
            return UNKNOWN
        return f"watermark: {found:.2f} >= {self.score:g} ({self._network})" if found >= self.score else KEPT

    @cached_property
    def _network(self) -> str:
        from bolid.vision.watermark import described

        return described(self.network)
