"""The rendered people among whom `benchmarks/curate.py` plants faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bolid.data.curate.people import turned

ALIKE = ["--first", "900300", "--size", "[1024,1024]", "--split", "test"]
# Folder -> people, photos of each, how many of these are for faults, and further options. Of those in "mixed" half show
# the whole figure; "faces" are there so that there are enough wrong persons whose face can be read.
SHOOTS: dict[str, tuple[int, int, int, list[str]]] = {
    "mixed": (55, 12, 2, []),
    "faces": (8, 3, 3, ["--framing", "head and shoulders", "--seed", "1"]),
}
EYES = 60  # pixels between the eyes of a face that can be read
SIDEWAYS = 0.35  # how far it may look to a side: seen from the front or half turned


class Rendered(NamedTuple):
    """Photos of people whom nothing was trained on.

    Attributes:
        good: Person -> photos that are to be kept.
        spare: Person -> photos into which faults are planted.
        clear: Those of both whose face can be read.
    """

    good: dict[str, list[Path]]
    spare: dict[str, list[Path]]
    clear: set[Path]

    @property
    def hidden(self) -> dict[str, list[Path]]:
        """The spare photos whose face cannot be read."""
        return {person: [path for path in paths if path not in self.clear] for person, paths in self.spare.items()}


def render(folder: Path) -> Rendered:
    """Renders the photos, unless they are there."""
    from bolid.data.manifest import read_manifest

    found = Rendered({}, {}, set())
    for where, (people, photos, faulty, options) in SHOOTS.items():
        if not (folder / where / "test").is_dir():
            count = ["--people", str(people), "--photos", str(photos)]
            words = ["data", "render", str(folder / where), *count, *ALIKE, *options]
            subprocess.run([sys.executable, "-m", "bolid.cli", *words], check=True)
        records = sorted(read_manifest(folder / where), key=lambda r: (r.identity, r.file_name))
        for number, record in enumerate(records):
            path = folder / where / record.file_name
            kept = number % photos < photos - faulty
            (found.good if kept else found.spare).setdefault(record.identity, []).append(path)
            if readable(record.keypoints):
                found.clear.add(path)
    return found


def readable(keypoints: np.ndarray) -> bool:
    """Whether a face can be read: both eyes and the nose seen, not in profile, and large enough.

    Args:
        keypoints: (17, 3) exact ones, x, y in pixels and whether they are seen.
    """
    apart, sideways = float(np.linalg.norm(keypoints[1, :2] - keypoints[2, :2])), turned(keypoints)
    seen = keypoints[:3, 2].min() == 1
    return seen and apart >= EYES and sideways is not None and sideways <= SIDEWAYS
