"""How many photos a second the renderer draws: `python benchmarks/render.py [people] [workers]`.

Prints one line per photo size. Starting the processes and loading the body model (some 10 s) is timed apart, since a
data set of any size pays it once. On a busy machine the processor time says more than the clock. The project wants at
least 6 photos a second of 528 x 352 on two cores.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bolid.synthetic.people import render_people
from bolid.synthetic.people.body import body

PHOTOS = 4
SIZES = {"512 px (528 x 352)": (528, 352), "training size (96 x 64)": (96, 64)}


def seconds(people: range, height: int, width: int, workers: int) -> np.ndarray:
    """Wall-clock and processor time of rendering people into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        start = np.array([time.perf_counter(), processor()])
        render_people(Path(folder), people, PHOTOS, height, width, workers=workers)
        return np.array([time.perf_counter(), processor()]) - start


def processor() -> float:
    """Seconds that this process's finished children have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(people: int = 60, workers: int = 2) -> None:
    """Renders a few people to time the start, then many."""
    body()  # the very first time on a machine this builds a cache for a minute
    for label, (height, width) in SIZES.items():
        start = seconds(range(2 * workers), height, width, workers)
        both = seconds(range(people + 2 * workers), height, width, workers)
        wall, computed = np.maximum(both - start, 1e-9) / (people * PHOTOS)
        print(
            f"{label}: {1 / wall:.1f} photos a second with {workers} processes, after {start[0]:.0f} s to start; "
            f"{1000 * computed:.0f} ms of a core each, so {workers / computed:.0f} a second on {workers} idle cores"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
