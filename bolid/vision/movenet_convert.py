"""Converts the published MoveNet MultiPose to the names and layouts of `bolid.vision.movenet`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.vision.movenet import MoveNetNetwork
from bolid.vision.networks import Converted
from bolid.vision.tfjs import read_weights

TOP, BASE = "StatefulPartitionedCall", "StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/model_1"
HEADS = {"centre": "center", "size": "box_scale", "shift": "box_offset"}
HEADS |= {"heat": "kpt_heatmap", "regression": "kpt_regress", "offset": "kpt_offset"}  # in the order of their indices
MERGES = {"9": "separable_conv2d", "5": "separable_conv2d_1", "2": "separable_conv2d_2"}
LATERALS = {"9": "conv2d_1", "5": "conv2d_2", "2": "conv2d_3"}


def convert(files: Mapping[str, bytes]) -> Converted:
    """Converts `movenet-multipose.json` and `.bin` to the weights of `MoveNetNetwork`.

    Raises:
        BolidError: If the files hold another network.
    """
    found = read_weights(files)
    weights = {}
    for name, like in MoveNetNetwork().state_dict().items():
        array = found.get(published(name))
        if array is None or array.size != like.numel():
            raise BolidError(f"{', '.join(files)} hold no {published(name)}: they are not MoveNet MultiPose")
        weights[name] = layout(array, depthwise=like.ndim == 4 and like.shape[1:] == (1, 3, 3)).reshape(like.shape)
    return Converted(weights)


def layout(array: np.ndarray, depthwise: bool) -> Tensor:
    """TensorFlow's (height, width, in, out) as (out, in, height, width); depthwise: as (in, out, height, width)."""
    order = ((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)) if array.ndim == 4 else range(array.ndim)
    return torch.tensor(np.ascontiguousarray(array.transpose(*order)))


def published(name: str) -> str:
    """The name of a module's weight in the published graph."""
    bias = name.endswith("bias")
    read = "BiasAdd/ReadVariableOp" if bias else "Conv2D/ReadVariableOp"
    if found := re.match(r"heads\.(\w+)\.(\d)\.?(\w*)", name):
        return _head(found[1], found[2], found[3], bias)
    if found := re.match(r"backbone\.merges\.(\d)\.(\w+)", name):
        stem = f"{BASE}/{MERGES[found[1]]}/separable_conv2d"
        return f"{stem}/ReadVariableOp" if found[2] == "depthwise" else f"{stem}{_folded(bias)}"
    if found := re.match(r"backbone\.laterals\.(\d)", name):
        return f"{BASE}/{LATERALS[found[1]]}/{read}"
    if name.startswith("backbone.top_lateral"):
        return f"{BASE}/conv2d/{read}"
    if found := re.match(r"backbone\.blocks\.(\d+)\.(\w+)", name):
        part = "depthwise/depthwise" if found[2] == "depthwise" else f"{found[2]}/Conv2D"
        block = "expanded_conv" if found[1] == "0" else f"block_{found[1]}"
        return f"{BASE}/model/{block}_{part}{_folded(bias)}"
    return f"{BASE}/model/{'Conv_1' if 'top' in name else 'Conv1'}/Conv2D{_folded(bias)}"


def _folded(bias: bool) -> str:
    return "_bn_offset" if bias else "_weights"  # batch norms are folded into the convolutions before them


def _head(name: str, layer: str, part: str, bias: bool) -> str:
    number, stem = list(HEADS).index(name), f"{TOP}/{HEADS[name]}_0"
    if layer == "1":
        return f"{stem}/conv2d_{number + 4}/{'BiasAdd' if bias else 'Conv2D'}/ReadVariableOp"
    separable = f"{stem}/separable_conv2d_{number + 3}"
    if bias:
        return f"{separable}/BiasAdd/ReadVariableOp"
    return f"{separable}/separable_conv2d/ReadVariableOp{'_1' if part == 'pointwise' else ''}"
