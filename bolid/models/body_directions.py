"""Directions of c_body that change one body proportion and keep the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, load_safetensors, safetensors_metadata

FORMAT = "bolid-directions-1"


def fit_body_directions(codes: Tensor, deviations: Tensor, names: Sequence[str]) -> tuple[dict[str, Tensor], float]:
    """Least squares of codes on proportions: c = c_0 + Σ_r deviation_r · direction_r.

    Args:
        codes: (N, d).
        deviations: (N, K) proportions, as `ImageRecord` has them.
        names: Names of the K proportions.

    Returns:
        Name -> direction (d,) of one standard deviation, and the explained share of the codes' variance.

    Raises:
        BolidError: If there are too few codes, or the numbers of names and proportions differ.
    """
    if deviations.shape[1] != len(names):
        raise BolidError(f"{len(names)} names ({', '.join(names)}) for {deviations.shape[1]} proportions; name each")
    if len(codes) < 10 * len(names):
        raise BolidError(f"{len(codes)} photos are too few to fit {len(names)} directions; add more people")
    x, y = (values.double() - values.double().mean(0) for values in (deviations, codes))
    found = torch.linalg.lstsq(x, y).solution  # (K, d)
    explained = 1 - (y - x @ found).square().sum() / y.square().sum()
    return dict(zip(names, found.float(), strict=True)), explained.item()


def save_directions(directions: dict[str, Tensor], path: Path, body_model: str) -> None:
    """Writes directions with the fingerprint of their encoder, atomically."""
    with atomic_path(path) as part:
        save_file(
            {k: v.contiguous() for k, v in directions.items()}, part, {"format": FORMAT, "body_model": body_model}
        )


def load_directions(path: Path, body_model: str) -> dict[str, Tensor]:
    """Reads what `save_directions` wrote.

    Args:
        path: The file.
        body_model: SHA-256 of the encoder whose codes to move; empty for any.

    Raises:
        BolidError: If the file is missing, invalid, or of another encoder.
    """
    remedy = "find them with `bolid identity directions`"
    if not Path(path).is_file():
        raise BolidError(f"{path}: no such file of directions; {remedy}")
    metadata = safetensors_metadata(path)
    if metadata.get("format") != FORMAT:
        raise BolidError(f"{path} holds no directions; {remedy}")
    if body_model and metadata.get("body_model", body_model) != body_model:
        raise BolidError(f"{path} holds directions of another body encoder; {remedy} anew")
    return load_safetensors(path)
