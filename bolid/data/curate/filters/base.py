"""What every filter is: thresholds on measures, and a verdict in words for every photo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos

KEPT = "kept"  # a colon and a remark may follow: kept, although something is not known
UNKNOWN = ""  # the photo was not measured, because a filter before had rejected it


def keeps(verdict: str) -> bool:
    """Whether a verdict lets the photo pass: `KEPT`, with a remark or without, or `UNKNOWN`."""
    return verdict == UNKNOWN or verdict.partition(":")[0] == KEPT


class Filter(ABC):
    """Says of photos that they are kept, or why not. Subclasses are dataclasses, whose fields are thresholds.

    Attributes:
        name: By which configuration and manifest know it.
    """

    name: ClassVar[str]

    def measure(self) -> Measure | None:
        """What must have been read off a photo before this filter can judge it; None: nothing."""
        return None

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Looks at the whole set, where a verdict depends on other photos or on columns that are better read once.

        Args:
            photos: The set.
            alive: (n,) bool, which photos the filters before have kept.
        """
        del photos, alive  # most verdicts depend on a photo's own values

    @abstractmethod
    def judge(self, photos: Photos, k: int) -> str:
        """The verdict on a photo after `survey`: `KEPT`, maybe with a remark, `UNKNOWN`, or a reason with its value."""
