"""How many photos a second the renderer draws: `python benchmarks/render.py [people] [workers]`.

Prints one line per photo size. Starting the processes and loading the body model (some 10 s) is timed apart, since a
data set of any size pays it once. The project wants at least 6 photos a second of 528 x 352 on two cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bolid.data.people import render_people
from bolid.data.people.body import body

PHOTOS = 4
SIZES = {"512 px (528 x 352)": (528, 352), "training size (96 x 64)": (96, 64)}


def seconds(people: range, height: int, width: int, workers: int) -> float:
    """Time to render people into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        render_people(Path(folder), people, PHOTOS, height, width, workers=workers)
        return time.perf_counter() - start


def main(people: int = 60, workers: int = 2) -> None:
    """Renders a few people to time the start, then many."""
    body()  # the very first time on a machine this builds a cache for a minute
    for label, (height, width) in SIZES.items():
        start = seconds(range(2 * workers), height, width, workers)
        both = seconds(range(people + 2 * workers), height, width, workers)
        rate = people * PHOTOS / max(both - start, 1e-9)
        print(f"{label}: {rate:.1f} photos a second with {workers} processes, after {start:.0f} s to start")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
