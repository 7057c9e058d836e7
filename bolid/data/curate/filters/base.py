"""Base class of filters: thresholds on measures, and a verdict for every photo."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos

KEPT = "kept"  # a colon and a remark may follow, if something is unknown
UNKNOWN = ""  # not measured, because an earlier filter rejected the photo


def keeps(verdict: str) -> bool:
    """Whether a verdict lets the photo pass: `KEPT`, with a remark or without, or `UNKNOWN`."""
    return verdict == UNKNOWN or verdict.partition(":")[0] == KEPT


class Filter(ABC):
    """Keeps photos, or rejects them with a reason. Subclasses are dataclasses, whose fields are thresholds.

    Attributes:
        name: Name in configurations and manifests.
    """

    name: ClassVar[str]

    def measure(self) -> Measure | None:
        """The measure that this filter needs, or None."""
        return None

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Processes the whole set, for verdicts that depend on other photos or on whole columns.

        Args:
            photos: All photos.
            alive: (n,) bool, photos that earlier filters kept.
        """
        del photos, alive  # most verdicts depend on a photo's own values

    @abstractmethod
    def judge(self, photos: Photos, k: int) -> str:
        """The verdict on a photo after `survey`: `KEPT`, maybe with a remark, `UNKNOWN`, or a reason with its value."""
