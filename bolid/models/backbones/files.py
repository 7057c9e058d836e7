"""Finds and loads a base model's files: a diffusers folder, a single file, or the hub's cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from bolid.core.errors import BolidError
from bolid.core.paths import resolve

# Files of a model on the hub; no pickles, and no duplicates (single file, fp16, non_ema).
CONFIGS = ["*.json", "*.txt", "*.model"]
STEMS = ("model", "diffusion_pytorch_model")
WANTED = CONFIGS + [f"*/{name}{part}.safetensors" for name in STEMS for part in ("", "-?????-of-?????")]

WEIGHTS = re.compile(r"(?:model|diffusion_pytorch_model)(?:-\d+-of-\d+)?(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors")
PICKLED = (".bin", ".ckpt", ".pt", ".pth")
INDEX = "model_index.json"


def find_weights(path: str, variant: str | None = None) -> Path:
    """A diffusers folder or a single file: `path` itself, or the hub's snapshot of that id, with a variant's weights.

    Raises:
        BolidError: If it is neither a model nor a hub id that is cached or can be downloaded.
    """
    found = resolve(path)
    if found.is_file():
        if found.suffix != ".safetensors":
            raise BolidError(
                f"{path} is no .safetensors file: pickled checkpoints can run anything when they are read; where you "
                "trust it, convert it to a diffusers folder with diffusers' `from_single_file` and `save_pretrained`"
            )
        return found
    if found.is_dir():
        if not (found / INDEX).is_file():
            single = sorted(found.glob("*.safetensors"))
            hint = f"give the file, such as {single[0]}, or" if single else "give"
            raise BolidError(f"{path} holds no {INDEX}: {hint} the folder of a diffusers pipeline")
        return found
    return _of_hub(path, variant)


def _of_hub(path: str, variant: str | None) -> Path:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return _snapshot(path, variant, local_files_only=True)
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        problem = f"no model at {path!r}: it is neither a local folder or file nor in the hub's cache"
    if path.count("/") != 1 or Path(path).is_absolute() or path.startswith("."):
        raise BolidError(
            f"{problem}; give the path of a diffusers folder or a .safetensors file, or a hub id such as org/name"
        )
    try:
        return _snapshot(path, variant, etag_timeout=5)
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        hint = f"`hf download {path}` where there is a network, or copy the folder here and give its path"
        raise BolidError(f"{problem}, and downloading it failed ({type(error).__name__}); {hint}") from error


def _snapshot(path: str, variant: str | None, **options: Any) -> Path:
    """The hub's snapshot, with the half precision copies only where they are asked for or there are no others."""
    from huggingface_hub import snapshot_download

    wanted = WANTED if variant is None else CONFIGS + variants(variant)
    folder = Path(snapshot_download(path, allow_patterns=wanted, **options))
    if weights_of(folder):
        return folder
    return Path(snapshot_download(path, allow_patterns=WANTED + variants("fp16"), **options))


def variants(name: str) -> list[str]:
    """File patterns of a variant's weights."""
    return [f"*/{stem}{part}.safetensors" for stem in STEMS for part in (f".{name}", f".{name}-?????-of-?????")]


def weights_of(folder: Path) -> dict[str, set[str]]:
    """Component -> available variants of its weights; "" for the plain ones."""
    found: dict[str, set[str]] = {}
    for file in folder.glob("*/*.safetensors"):
        if name := WEIGHTS.fullmatch(file.name):
            found.setdefault(file.parent.name, set()).add(name[1] or "")
    return found


def variant_of(folder: Path) -> str | None:
    """The variant to load, such as fp16, where a component has no plain weights; None for the plain ones."""
    alone = [variants for variants in weights_of(folder).values() if "" not in variants]
    named = set.intersection(*alone) if alone else set()
    return "fp16" if "fp16" in named else min(named, default=None)


def load_pipeline(
    kind: type[DiffusionPipeline],
    path: str,
    dtype: torch.dtype,
    arguments: Mapping[str, Any],
    variant: str | None = None,
) -> DiffusionPipeline:
    """Loads the stock pipeline of a model, from safetensors only; connects to the hub only for a hub id.

    Args:
        kind: The pipeline's class.
        path: See `Backbone`.
        dtype: Dtype of all weights.
        arguments: Arguments of the pipeline's class.
        variant: Variant of the weights; None for that of `variant_of`.

    Raises:
        BolidError: If there is no such model, or its files are incomplete.
    """
    found = find_weights(path, variant)
    if found.is_file():
        return _load_file(kind, found, dtype, arguments)
    try:
        return kind.from_pretrained(
            str(found),
            dtype=dtype,
            variant=variant or variant_of(found),
            use_safetensors=True,
            local_files_only=True,
            **arguments,
        )
    except (OSError, ValueError) as error:
        raise BolidError(f"{found} {_lack(found, path)} ({error})") from error


def _lack(folder: Path, path: str) -> str:
    """The message for an incomplete folder, with the remedy."""
    weights = weights_of(folder)
    whole = {*weights, "safety_checker"}  # never loaded
    pickled = sorted(f for f in folder.glob("*/*") if f.suffix in PICKLED and f.parent.name not in whole)
    if pickled:
        return (
            f"holds {pickled[0].relative_to(folder)} and no safetensors: pickled weights can run anything when they "
            "are read; take the model's safetensors, or, where you trust it, convert it with diffusers' "
            "`from_pretrained` and `save_pretrained`"
        )
    remedy = "copy it anew" if resolve(path).is_dir() else f"complete it with `hf download {path}`"
    return f"lacks files of the model or they are broken: {remedy}"


def _load_file(
    kind: type[DiffusionPipeline], file: Path, dtype: torch.dtype, arguments: Mapping[str, Any]
) -> DiffusionPipeline:
    """Loads a single file's pipeline; without a folder of configurations diffusers would download them."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    config = _configs(file)
    try:
        return kind.from_single_file(str(file), config=str(config), dtype=dtype, local_files_only=True, **arguments)
    except (OSError, ValueError, RuntimeError, LookupError, SingleFileComponentError) as error:
        raise BolidError(
            f"{file} is no model of the configuration in {config}, or it is broken: copy it anew, or convert it to a "
            f"diffusers folder ({error})"
        ) from error


def _configs(file: Path) -> Path:
    """The folder of a single file's configurations: next to it with its name, or of its family in the hub's cache."""
    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    from bolid.core.safe_io import load_safetensors

    beside = file.with_suffix("")
    if (beside / INDEX).is_file():
        return beside
    family = fetch_diffusers_config(load_safetensors(file))["pretrained_model_name_or_path"]
    try:
        return Path(snapshot_download(family, local_files_only=True, allow_patterns=CONFIGS))
    except (LocalEntryNotFoundError, HFValidationError, OSError) as error:
        raise BolidError(
            f"{file}: a single file holds no configuration and no tokenizer, and those of {family} are not in the "
            f"hub's cache: `hf download {family} --include '*.json' '*.txt'` where there is a network, or put a "
            f"diffusers folder of the same family at {beside}"
        ) from error
