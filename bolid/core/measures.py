"""What is known of the bodies of rendered people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bolid.core.errors import BolidError

# Of stature (build: volume / stature³), so that they mean the same at any camera distance.
RATIOS = ("waist", "hip", "shoulder", "torso", "leg", "arm", "build")
SHAPE = tuple(name for name in RATIOS if name != "arm")  # what body shape is scored by; arms are told beside it
PEOPLE = "people.parquet"


class Body(NamedTuple):
    """A person's `gender` ("woman" or "man") and `ratios`, (7,) float32 in the order of `RATIOS`."""

    gender: str
    ratios: Tensor


def read_bodies(folder: Path) -> Mapping[str, Body]:
    """The bodies of a folder of rendered people, by identity.

    Raises:
        BolidError: if the folder has no table of people.
    """
    from pyarrow import ArrowException, parquet

    path = Path(folder) / PEOPLE
    if not path.is_file():
        raise BolidError(f"{path}: no such file; only folders of rendered people (`bolid data render`) know bodies.")
    try:
        rows = parquet.read_table(path, columns=["identity", "gender", *RATIOS]).to_pylist()
    except (ArrowException, OSError) as error:
        raise BolidError(f"{path}: not a readable table of people ({error}).") from error
    return {row["identity"]: Body(row["gender"], torch.tensor([row[name] for name in RATIOS])) for row in rows}
