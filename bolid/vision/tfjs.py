"""Reads the weights of a TensorFlow.js graph model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bolid.core.errors import BolidError

DTYPES = {"float32": np.float32, "float16": np.float16, "int32": np.int32, "bool": np.bool_, "uint8": np.uint8}


def read_weights(files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """The weights of a model by TensorFlow's names, float16 as float32.

    Args:
        files: The model's `.json` and the files that it names, by name.

    Raises:
        BolidError: If the files are no such model.
    """
    try:
        model = json.loads(next(data for name, data in files.items() if name.endswith(".json")))
        weights: dict[str, np.ndarray] = {}
        for group in model["weightsManifest"]:
            _read_group(b"".join(files[name] for name in group["paths"]), group["weights"], weights)
        return weights
    except (StopIteration, ValueError, LookupError, TypeError) as error:
        raise BolidError(f"{', '.join(files)}: not a TensorFlow.js graph model ({error!r})") from error


def _read_group(data: bytes, described: list[dict[str, Any]], weights: dict[str, np.ndarray]) -> None:
    start = 0
    for entry in described:
        packed = entry.get("quantization") or {}
        dtype = np.dtype(DTYPES[packed.get("dtype", entry["dtype"])])
        count = int(np.prod(entry["shape"], dtype=np.int64))
        values = np.frombuffer(data, dtype, count, start).reshape(entry["shape"])
        start += count * dtype.itemsize
        if packed.get("dtype") not in (None, "float16"):
            raise ValueError(f"{entry['name']} is quantized as {packed['dtype']}")
        weights[entry["name"]] = values.astype(np.float32) if packed else values
