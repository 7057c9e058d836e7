"""Body proportions of rendered people, and their averages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bolid.core.errors import BolidError

# Of stature (build: volume / stature³), so that they mean the same at any camera distance.
RATIOS = ("waist", "hip", "shoulder", "torso", "leg", "arm", "build")
SHAPE = tuple(
    name for name in RATIOS if name != "arm"
)  # proportions in body-shape scores; arms are reported separately
PEOPLE = "people.parquet"

# Mean and standard deviation of 1,000 unrejected people of each gender; rewrite with
# `python -m bolid.synthetic.people.calibrate` and raise RENDERER_VERSION, since caption words follow from it.
CALIBRATION: dict[str, dict[str, tuple[float, float]]] = {
    "woman": {
        "stature": (1.6445, 0.08487),
        "waist": (0.45576, 0.05759),
        "hip": (0.61845, 0.05679),
        "shoulder": (0.19583, 0.01799),
        "torso": (0.3305, 0.01673),
        "leg": (0.51456, 0.01931),
        "arm": (0.28421, 0.02217),
        "build": (0.013186, 0.002155),
    },
    "man": {
        "stature": (1.7327, 0.08657),
        "waist": (0.50821, 0.05751),
        "hip": (0.58915, 0.05192),
        "shoulder": (0.22041, 0.02209),
        "torso": (0.33489, 0.01713),
        "leg": (0.52037, 0.01935),
        "arm": (0.30137, 0.0223),
        "build": (0.01441, 0.002275),
    },
}


class Body(NamedTuple):
    """A person's `gender` ("woman" or "man") and `ratios`, (7,) float32 in the order of `RATIOS`."""

    gender: str
    ratios: Tensor


def read_bodies(folder: Path) -> Mapping[str, Body]:
    """The bodies of a folder of rendered people, by identity.

    Raises:
        BolidError: If the folder has no table of people.
    """
    from pyarrow import ArrowException, parquet

    path = Path(folder) / PEOPLE
    if not path.is_file():
        raise BolidError(
            f"{path}: no such file; only folders of rendered people (`bolid data render`) hold body measures."
        )
    try:
        rows = parquet.read_table(path, columns=["identity", "gender", *RATIOS]).to_pylist()
    except (ArrowException, OSError) as error:
        raise BolidError(f"{path}: not a readable table of people ({error}).") from error
    return {row["identity"]: Body(row["gender"], torch.tensor([row[name] for name in RATIOS])) for row in rows}


def standardise(bodies: Sequence[Body]) -> Tensor:
    """Deviations of bodies from the average of their gender, in that gender's standard deviations: (B, 7)."""
    average = torch.tensor([[CALIBRATION[body.gender][name] for name in RATIOS] for body in bodies])  # (B, 7, 2)
    return (torch.stack([body.ratios for body in bodies]) - average[..., 0]) / average[..., 1]
