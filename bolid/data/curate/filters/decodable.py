"""Filter of broken files."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.pixels import PixelMeasure


@dataclass
class Decodable(Filter):
    """Rejects broken, truncated and oversized files, and photos whose EXIF is damaged.

    Attributes:
        exif: Whether to reject photos with damaged EXIF, whose orientation is unknown.
    """

    exif: bool = True
    name = "decodable"

    def measure(self) -> Measure:
        """The pixels."""
        return PixelMeasure()

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Reads the complaints."""
        self._known = photos.measured("pixels")
        self._errors = photos.arrow("pixels", "error").combine_chunks()
        self._exif = photos.arrow("pixels", "exif").combine_chunks()

    def judge(self, photos: Photos, k: int) -> str:
        """The decoder's complaint."""
        if not self._known[k]:
            return UNKNOWN
        if error := self._errors[k].as_py():
            return f"not decodable: {error}"
        exif = self._exif[k].as_py()
        return f"damaged EXIF: {exif}" if exif and self.exif else KEPT
