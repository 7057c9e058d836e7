"""Filter of photos by size and aspect ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.pixels import PixelMeasure


@dataclass
class Size(Filter):
    """Rejects photos that are too small or too long.

    Attributes:
        shortest: Minimum of the shorter side in pixels.
        aspect: Maximum ratio of the longer to the shorter side.
    """

    shortest: int = 1000
    aspect: float = 3.0
    name = "size"

    def measure(self) -> Measure:
        """The pixels."""
        return PixelMeasure()

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Reads the sizes."""
        sizes = np.stack([photos.numbers("pixels", side) for side in ("width", "height")])
        self._short, self._long = sizes.min(0), sizes.max(0)

    def judge(self, photos: Photos, k: int) -> str:
        """Small, long, or neither."""
        short, long = self._short[k], self._long[k]
        if not short > 0:
            return UNKNOWN
        if short < self.shortest:
            return f"small: {short:.0f} < {self.shortest} pixels"
        return f"long: {long / short:.2f} > {self.aspect:g}" if long > self.aspect * short else KEPT
