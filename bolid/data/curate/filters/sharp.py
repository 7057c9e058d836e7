"""Filter of photos by sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.pixels import PixelMeasure


@dataclass
class Sharp(Filter):
    """Rejects photos that are out of focus, shaken or enlarged.

    Attributes:
        edges: Minimum ratio of the sharpest edges before and after a small blur, at 512 pixels, in the least sharp
            direction: 1.85 to 3 for sharp photos, at most 1.4 for a camera shake of 17 pixels at 1024.
    """

    edges: float = 1.75
    name = "blurry"

    def measure(self) -> Measure:
        """The pixels."""
        return PixelMeasure()

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Reads the sharpness."""
        self._sharpness = photos.numbers("pixels", "sharpness")

    def judge(self, photos: Photos, k: int) -> str:
        """Blurry or not."""
        found = self._sharpness[k]
        if not np.isfinite(found):
            return UNKNOWN
        return f"blurry: {found:.2f} < {self.edges:g}" if found < self.edges else KEPT
