"""Converts a user's own networks from pickle formats, without running their code."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_folder, atomic_path, write_text
from bolid.vision.face import FaceEmbedder
from bolid.vision.pose import CONFIG, WEIGHTS, load_pose_model
from bolid.vision.yolo import import_ultralytics

MOST_BYTES = 2 * 1024**3
MOST_DEPTH = 32  # maximum nesting of modules


def import_yolo(file: Path, folder: Path) -> None:
    """Converts a YOLO pose checkpoint of ultralytics to a folder for `bolid.vision.pose.PoseEstimator`.

    The checkpoint is a pickle. Only tensors, plain data and modules of torch and ultralytics are unpickled, and none of
    their methods is called: their tensors are copied into a newly built network.

    Args:
        file: Checkpoint, such as `yolo11n-pose.pt`.
        folder: Output folder, replaced if it exists.

    Raises:
        BolidError: If the file holds anything else, or no pose network.
    """
    checkpoint = read_checkpoint(file)
    model = checkpoint.get("ema") or checkpoint.get("model")
    if type(model).__name__ != "PoseModel":
        raise BolidError(f"{file}: no pose network of ultralytics; it holds {type(model).__name__}")
    try:
        state = {name: tensor.detach().float().contiguous() for name, tensor in tensors(model)}
        described = architecture(model, checkpoint)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise BolidError(f"{file}: the checkpoint does not say how its network is built ({error!r})") from error
    with atomic_folder(folder) as temporary:
        _write(temporary, state, described)
        load_pose_model(temporary)  # checks that both fit


def _write(folder: Path, state: dict[str, Tensor], described: dict[str, Any]) -> None:
    import yaml
    from safetensors.torch import save_file

    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_text(folder / CONFIG, yaml.safe_dump(described, sort_keys=False, default_flow_style=None))


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Loads a checkpoint's dictionary of tensors, plain data and known modules only.

    Raises:
        BolidError: If it holds anything else.
    """
    if not file.is_file() or file.stat().st_size > MOST_BYTES:
        raise BolidError(f"{file}: no such file, or one of more than {MOST_BYTES >> 30} GB")
    known = list(allowed())
    try:
        with torch.serialization.safe_globals(known):
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (
        pickle.UnpicklingError,
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line), str(error).splitlines()[0])
        raise BolidError(f"{file}: not a checkpoint that can be read safely ({reason.strip()})") from error
    if not isinstance(found, dict):
        raise BolidError(f"{file}: no checkpoint of ultralytics")
    return found


def allowed() -> Iterator[Any]:
    """The classes that a checkpoint may name: modules of torch and of ultralytics, and numpy's numbers."""
    import numpy as np

    import_ultralytics()
    from ultralytics.nn import modules, tasks

    for room in (modules.block, modules.conv, modules.head, modules.transformer, torch.nn.modules):
        yield from (kind for kind in vars(room).values() if isinstance(kind, type) and issubclass(kind, nn.Module))
    yield from (tasks.PoseModel, np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType)
    scalar = import_module("numpy._core.multiarray").scalar
    yield from (scalar, (scalar, "numpy.core.multiarray.scalar"))  # its name in numpy 1


def tensors(module: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of a module's parameters and buffers, read from its dictionaries alone.

    Raises:
        ValueError: If these are malformed.
    """
    inside = vars(module)
    parts = [inside.get(name, {}) for name in ("_parameters", "_buffers", "_modules")]
    if depth > MOST_DEPTH or not all(isinstance(part, Mapping) for part in parts):
        raise ValueError("a module without parts")
    passing = inside.get("_non_persistent_buffers_set", ())
    for name, tensor in [*parts[0].items(), *parts[1].items()]:
        if isinstance(tensor, Tensor) and name not in passing:
            yield prefix + name, tensor
    for name, inner in parts[2].items():
        if isinstance(inner, nn.Module):
            yield from tensors(inner, f"{prefix}{name}.", depth + 1)


def architecture(model: Any, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `pose.yaml` for a checkpoint's network; raises LookupError or AttributeError if it is missing."""
    described, settings = dict(vars(model)["yaml"]), dict(checkpoint.get("train_args") or {})
    head = list(vars(vars(model)["_modules"]["model"])["_modules"].values())[-1]
    size = settings.get("imgsz", 640)
    scales = described.get("scales") or {}
    return {name: value for name, value in described.items() if name != "yaml_file"} | {
        "nc": int(vars(head)["nc"]),
        "scale": described.get("scale") or next(iter(scales), ""),
        "kpt_shape": [int(side) for side in vars(head)["kpt_shape"]],
        "image_size": size if isinstance(size, int) and size > 0 else 640,
    }


def import_recogniser(pack: Path, folder: Path) -> Path:
    """Copies the recogniser of one of InsightFace's packs into a folder, and returns the copy.

    Raises:
        BolidError: If the pack holds none.
    """
    weights = FaceEmbedder(pack).weights
    with atomic_path(folder / weights.name) as temporary:
        shutil.copyfile(weights, temporary)
    return folder / weights.name
