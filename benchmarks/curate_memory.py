"""Peak memory of curation with so many rows: `python -m benchmarks.curate_memory 100000` prints megabytes.

The photos are files of a few bytes whose measures are made up and put where curation keeps them: what is measured is
the listing, the filters over the whole set, and the writing of verdicts.
"""

from __future__ import annotations

import hashlib
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np

from bolid.data.curate.config import Filters
from bolid.data.curate.pixels import PixelMeasure
from bolid.data.curate.run import curate_photos
from bolid.data.curate.store import ROWS, SHA, Store

PHOTOS = 100  # of a person


def write_set(folder: Path, rows: int) -> None:
    """Files, and what is known of them."""
    rng, store = np.random.default_rng(0), Store(folder, PixelMeasure())
    for start in range(0, rows, ROWS):
        values = []
        for k in range(start, min(rows, start + ROWS)):
            path = folder / f"p{k // PHOTOS:06d}" / f"{k}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(str(k).encode())
            content = hashlib.sha256(str(k).encode()).digest()
            hashes = {"hash": rng.bytes(32), "mirrored": rng.bytes(32)}
            sizes = {"width": 1000 + k % 50 * 10, "height": 990 + k % 60 * 10}
            values.append(sizes | hashes | {"dark": 0.9, "light": 0.1, "sharpness": 1.5 + k % 11 / 10, SHA: content})
        store.append(values)


def main(rows: int) -> None:
    """Curates in this process and prints its peak."""
    with tempfile.TemporaryDirectory() as folder:
        write_set(Path(folder), rows)
        filters = Filters(people=None, identity=None, watermark=None, body=None)
        curate_photos(Path(folder), filters)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main(int(sys.argv[1]))
