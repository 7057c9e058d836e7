"""Filter of photos by brightness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.pixels import PixelMeasure


@dataclass
class Exposure(Filter):
    """Rejects dark and washed-out photos, by cleanvision's measures.

    Attributes:
        dark: The 99th percentile of perceived brightness, minimum, 0 to 1.
        light: The 5th percentile, maximum.
    """

    dark: float = 0.3
    light: float = 0.8
    name = "exposure"

    def measure(self) -> Measure:
        """The pixels."""
        return PixelMeasure()

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Reads the brightness."""
        self._dark, self._light = (photos.numbers("pixels", name) for name in ("dark", "light"))

    def judge(self, photos: Photos, k: int) -> str:
        """Dark, light, or neither."""
        if not np.isfinite(self._dark[k]):
            return UNKNOWN
        if self._dark[k] < self.dark:
            return f"dark: {self._dark[k]:.2f} < {self.dark:g}"
        return f"light: {self._light[k]:.2f} > {self.light:g}" if self._light[k] > self.light else KEPT
