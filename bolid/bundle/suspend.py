"""Packs a fit's checkpoint into one small file, to resume on another machine."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bolid.bundle.pack import EXACT
from bolid.callbacks.ema import KEY
from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path
from bolid.tasks.checkpoints import FORMAT, read_checkpoint

REST = "checkpoint"  # key of the file's metadata that holds all that is no weight
KEPT = ("epoch", "global_step", "pytorch-lightning_version", "loops", "lr_schedulers")


def suspend_fit(checkpoint: Path, file: Path) -> str:
    """Packs a checkpoint: its weights, averaged if they are, in half precision, and where the fit stands.

    The optimiser's moments are left out, which are twice as large and come back within some dozens of steps.

    Args:
        checkpoint: Checkpoint of `bolid fit`, such as `runs/world/vae/checkpoints/last.ckpt`.
        file: The `.safetensors` file to write.

    Returns:
        A line about the file.
    """
    found = read_checkpoint(checkpoint, "checkpoint")
    weights = {name: halved(name, value) for name, value in found["state_dict"].items()}
    rest = {name: found[name] for name in KEPT}
    rest[FORMAT] = found.get(FORMAT, 1)
    # The optimiser's settings are needed to load it; where checkpoints lie is a matter of the machine.
    rest["optimizer_states"] = [{"state": {}, "param_groups": s["param_groups"]} for s in found["optimizer_states"]]
    rest["callbacks"] = {k: v for k, v in found["callbacks"].items() if not k.startswith("ModelCheckpoint")}
    if KEY in found:
        rest[KEY] = {"steps": found[KEY]["steps"], "raw": list(found[KEY]["raw"])}
    with atomic_path(file) as temporary:
        save_file(weights, temporary, metadata={REST: json.dumps(rest)})
    return f"{file}: step {found['global_step']}, {file.stat().st_size / 1e6:.1f} MB"


def resume_fit(file: Path, checkpoint: Path) -> str:
    """Unpacks what `suspend_fit` packed to a checkpoint for `bolid fit --ckpt_path`.

    Args:
        file: The `.safetensors` file.
        checkpoint: The `.ckpt` file to write.

    Returns:
        A line about the checkpoint.

    Raises:
        BolidError: If there is no such file, or it holds something else.
    """
    try:
        with safe_open(file, "pt") as packed:
            weights = {name: packed.get_tensor(name).float() for name in packed.keys()}  # noqa: SIM118
            rest = json.loads((packed.metadata() or {})[REST])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BolidError(f"{file} was not packed by `bolid bundle suspend` ({error})") from error
    if KEY in rest:  # the average takes the place of the weights that it was made of
        rest[KEY]["raw"] = {name: weights[name] for name in rest[KEY]["raw"]}
    with atomic_path(checkpoint) as temporary:
        torch.save(rest | {"state_dict": weights}, temporary)
    return f"{checkpoint}: step {rest['global_step']}"


def halved(name: str, weight: Tensor) -> Tensor:
    """A weight as it is stored: batch norm's variances can be too small for half precision."""
    return weight.half() if weight.dtype == torch.float32 and not name.endswith(EXACT) else weight
