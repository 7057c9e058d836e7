"""Watermark scores of photos, by a network loaded in the reading processes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bolid.core.photos import open_photo
from bolid.data.curate.measure import Measure


class WatermarkMeasure(Measure):
    """The score of a watermark, 0 to 1.

    Args:
        network: Folder of the embedded network, or a file of the public convnext-tiny.
    """

    name = "watermark"
    columns = {"score": pa.float32()}
    batch = 16

    def __init__(self, network: str) -> None:
        self.network = network

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights."""
        from bolid.core.safe_io import sha256
        from bolid.vision.watermark import weights_of

        return sha256(weights_of(self.network))

    @cached_property
    def _loaded(self) -> Any:
        from bolid.vision.watermark import load_watermark

        return load_watermark(self.network)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_loaded"}

    def read(self, path: Path) -> dict[str, Any]:
        """The score of one photo."""
        return {"score": self._loaded.score(np.asarray(open_photo(path, reduce_to=8_000_000)))}
