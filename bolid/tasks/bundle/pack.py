"""Gathers what the bundle's fits exported into the folder that is shipped."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_folder, atomic_path

MEMBERS = {  # where a fit of configs/tiny exports to, below the runs' folder
    "stable-diffusion": "unet/stable-diffusion",
    "body_vae": "body_vae/body_vae",
    "clip_score": "clip_score/clip_score",
    "pose": "pose/pose",
    "face": "face/face",
}
EXACT = {"pose"}  # batch norm's running variances can be too small for half precision


def pack_bundle(runs: Path = Path("runs/tiny"), folder: Path = Path("data/tiny")) -> str:
    """Copies every member, its weights in half precision, replacing what was there.

    Args:
        runs: Where the fits of `configs/tiny` wrote.
        folder: The bundle.

    Returns:
        One line about the bundle's size.
    """
    missing = [source for source in MEMBERS.values() if not (runs / source).is_dir()]
    if missing:
        raise BolidError(f"{runs} lacks {', '.join(missing)}: run the fits of configs/tiny first (`make tiny`)")
    for name, source in MEMBERS.items():
        with atomic_folder(folder / name) as part:
            shutil.copytree(runs / source, part, dirs_exist_ok=True)
            for weights in () if name in EXACT else part.rglob("*.safetensors"):
                halve(weights)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return f"{folder}: {size / 1e6:.1f} MB"


def halve(file: Path) -> None:
    """Rewrites floating point tensors in float16."""
    state = {k: v.half() if v.dtype == torch.float32 else v for k, v in load_file(file).items()}
    with atomic_path(file) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})
