"""Collects the exports of the bundle's fits into the shipped folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_folder, atomic_path, write_text

# Where a fit exports to, below the runs' folder -> the member; the later replace the earlier.
MEMBERS = {
    "tiny/unet/stable-diffusion": "stable-diffusion",
    "tiny/unet_more/stable-diffusion": "stable-diffusion",
    "tiny/unet_opposites/stable-diffusion": "stable-diffusion",
    "tiny/body_vae/body_vae": "body_vae",
    "tiny/body_vae_whole/body_vae": "body_vae",
    "tiny/body_vae_photos/body_vae": "body_vae_photos",
    "tiny/clip_score/clip_score": "clip_score",
    "tiny/clip_loss/clip_loss": "clip_loss",
    "tiny/pose/pose": "pose",
    "tiny/face/face": "face",
    "tiny/attributes/attributes": "attributes",
    "tiny/attributes_loss/attributes_loss": "attributes_loss",
    "tiny/anthropometer/anthropometer": "anthropometer",
    "tiny/anthropometer_loss/anthropometer_loss": "anthropometer_loss",
    "table/all/adapter": "adapter",  # which `make table` trains on the others
}
SCORES = "scores.json"
EXACT = "running_var"  # batch norm's variances can be too small for half precision


def pack_bundle(runs: Path = Path("runs"), folder: Path = Path("data/tiny")) -> str:
    """Copies the members that were trained, their weights in half precision, and gathers their scores.

    They replace earlier ones; networks without a run here are unchanged, and so are their scores.

    Args:
        runs: Folder of the runs; those of `configs/tiny` are in `tiny`.
        folder: The bundle.

    Returns:
        One line about the bundle's size.
    """
    trained = {source: name for source, name in MEMBERS.items() if any((runs / source).glob("*"))}
    if not trained:
        raise BolidError(f"{runs} holds no member: run a fit of configs/tiny first (`snakemake tiny` runs all)")
    for source, name in trained.items():
        with atomic_folder(folder / name) as part:
            shutil.copytree(runs / source, part, dirs_exist_ok=True)
            for weights in part.rglob("*.safetensors"):
                if not weights.parent.name.endswith("_encoder"):  # an adapter's, which knows it by its file's SHA-256
                    halve(weights)
            for config in part.rglob("config.json"):
                forget_origin(config)
    write_text(folder / SCORES, json.dumps(scores(runs, folder / SCORES), indent=2) + "\n")
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return f"{folder}: {size / 1e6:.1f} MB"


def halve(file: Path) -> None:
    """Rewrites floating point tensors in float16, all but batch norm's variances."""
    state = load_file(file)
    state |= {k: v.half() for k, v in state.items() if v.dtype == torch.float32 and not k.endswith(EXACT)}
    with atomic_path(file) as temporary:
        save_file(state, temporary, metadata={"format": "pt"})


def forget_origin(file: Path) -> None:
    """Drops from a configuration where its weights lay on the machine that trained them."""
    config = json.loads(file.read_text())
    if config.pop("_name_or_path", None) is not None:
        write_text(file, json.dumps(config, indent=2) + "\n")


def scores(runs: Path, before: Path) -> dict[str, float]:
    """`<run>/<metric>` -> value, of every run that `bolid test` has written a report of; of the others as before."""
    reports = {file.parent.name: json.loads(file.read_text()) for file in runs.glob("tiny/*/report.json")}
    old = json.loads(before.read_text()) if before.is_file() else {}
    kept = {name: value for name, value in old.items() if name.partition("/")[0] not in reports}
    new = {f"{run}/{metric}": value for run, report in reports.items() for metric, value in report.items()}
    return dict(sorted((kept | new).items()))
