"""Filter of photos by the visible part of the body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.photos import Photos


@dataclass
class Body(Filter):
    """Rejects photos with too few of the 17 keypoints visible, or a small person.

    The networks are those of the filter `people`.

    Attributes:
        keypoints: Minimum number of visible ones; 3 for eyes and nose, 7 for a bust, 13 and more for a whole figure.
        confidence: Minimum confidence of a visible keypoint.
        height: Minimum height of the person as a share of the photo's.
    """

    keypoints: int = 3
    confidence: float = 0.2
    height: float = 0.1
    name = "body"

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Counts keypoints."""
        self._known = photos.measured("people")
        self._seen = np.zeros(len(photos), np.int16)
        self._tall = np.full(len(photos), np.nan, np.float32)
        if not self._known.any():
            return
        for k, points in enumerate(photos.arrow("people", "confidences")):
            self._seen[k] = sum(c >= self.confidence for c in points.as_py() or ())
        self._tall = photos.numbers("people", "height")

    def judge(self, photos: Photos, k: int) -> str:
        """Too little of it, too small, or enough."""
        if not self._known[k]:
            return UNKNOWN
        if self._seen[k] < self.keypoints:
            return f"little of the body: {self._seen[k]} < {self.keypoints} keypoints"
        tall = self._tall[k]
        return f"small in the photo: {tall:.2f} < {self.height:g} of its height" if tall < self.height else KEPT
