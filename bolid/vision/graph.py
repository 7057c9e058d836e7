"""Convolutional networks defined by a list of layers, as converted from other runtimes.

A layout is data (names of known layers and numbers), stored as JSON in the metadata of the weights' safetensors file.
It is never evaluated as code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.safe_io import load_safetensors, safetensors_metadata

LAYOUTS = "layouts"  # key of the metadata


@dataclass(frozen=True)
class Node:
    """One layer.

    Attributes:
        op: A key of `LAYERS`.
        inputs: Indices of its input values: 0 is the network's input, k the output of node k, from 1.
        options: Arguments of the layer.
    """

    op: str
    inputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """A network without its weights.

    Attributes:
        size: Height and width of the input.
        nodes: Nodes in the order of computation.
        outputs: Indices of the output values.
    """

    size: tuple[int, int]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]


class Convolution(nn.Conv2d):
    """A convolution with separate padding per side, (left, right, top, bottom) in pixels."""

    def __init__(self, channels: list[int], kernel: list[int], stride: list[int], pad: list[int], groups: int = 1):
        left, right, top, bottom = pad
        self.uneven = [] if left == right and top == bottom else pad
        (inner, outer), (down, across) = channels, (0, 0) if self.uneven else (top, left)
        super().__init__(inner, outer, (kernel[0], kernel[1]), (stride[0], stride[1]), (down, across), groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C', h', w')."""
        return super().forward(F.pad(x, self.uneven) if self.uneven else x)


class Apply(nn.Module):
    """A layer without weights: a function of values and options."""

    def __init__(self, function, **options):
        super().__init__()
        self.function, self.options = function, options

    def forward(self, *values: Tensor) -> Tensor:
        """The function's result."""
        return self.function(*values, **self.options)


def add(a: Tensor, b: Tensor) -> Tensor:
    """Sum of two values of the same shape."""
    return a + b


def pad(x: Tensor, amount: list[int]) -> Tensor:
    """Zero padding of (B, C, h, w): left, right, top, bottom, first and last channels."""
    return F.pad(x, amount)


def max_pool(x: Tensor, kernel: list[int], stride: list[int]) -> Tensor:
    """Max pooling without padding."""
    return F.max_pool2d(x, kernel, stride)


def resize(x: Tensor, size: list[int]) -> Tensor:
    """Bilinear with half-pixel centres."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """(B, block² · C, h, w) -> (B, C, block · h, block · w), the channels of a block outermost (TensorFlow's order)."""
    blocks = x.unflatten(1, (block, block, -1))  # (B, down, across, C, h, w)
    return blocks.permute(0, 3, 4, 1, 5, 2).flatten(4).flatten(2, 3)


def reshape(x: Tensor, shape: list[int]) -> Tensor:
    """Any value to (B, *shape) of at most two axes; images are read channels last."""
    last = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
    return last.reshape(len(x), *shape)


def concatenate(*values: Tensor, axis: int) -> Tensor:
    """Concatenates along an axis."""
    return torch.cat(values, axis)


ACTIVATIONS = {"": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}
FUNCTIONS = {
    "add": add,
    "pad": pad,
    "max_pool": max_pool,
    "resize": resize,
    "depth_to_space": depth_to_space,
    "reshape": reshape,
    "concatenate": concatenate,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
}
LAYERS = ("convolution", *FUNCTIONS)


class Layer(nn.Module):
    """A node's layer, with random weights, and its activation."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        options = dict(node.options)
        self.after = ACTIVATIONS[options.pop("activation", "")]()
        self.body = Convolution(**options) if node.op == "convolution" else Apply(FUNCTIONS[node.op], **options)

    def forward(self, *values: Tensor) -> Tensor:
        """The layer's output, from the node's inputs."""
        return self.after(self.body(*values))


class GraphNetwork(nn.Module):
    """The network of a layout, with random weights until `load_state_dict`.

    Raises:
        BolidError: If the layout has an unknown layer, or uses a value before it is computed.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        for number, node in enumerate(layout.nodes):
            if node.op not in LAYERS or not all(0 <= k <= number for k in node.inputs):
                raise BolidError(f"a network's layout is broken at node {number} ({node.op} of {list(node.inputs)})")
        if not all(0 <= k <= len(layout.nodes) for k in layout.outputs):
            raise BolidError(f"a network's layout is broken: it has no outputs {list(layout.outputs)}")
        self.layout = layout
        self.layers = nn.ModuleList(Layer(node) for node in layout.nodes)
        last = {k: number for number, node in enumerate(layout.nodes) for k in node.inputs}
        self._done: list[list[int]] = [[] for _ in layout.nodes]  # values that are unused after a node
        for k in last.keys() - set(layout.outputs):
            self._done[last[k]].append(k)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) -> the outputs, (B, …) each; images among them as (B, C, h, w)."""
        values = {0: pictures.contiguous(memory_format=torch.channels_last)}
        for number, (node, made) in enumerate(zip(self.layout.nodes, self.layers, strict=True)):
            values[number + 1] = made(*(values[k] for k in node.inputs))
            for k in self._done[number]:  # frees memory if no gradients are needed
                del values[k]
        return [values[k] for k in self.layout.outputs]


def packed(networks: Mapping[str, GraphNetwork]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights and metadata of a safetensors file of these networks, for `load_network`."""
    state = {f"{name}.{k}": v.contiguous() for name, net in networks.items() for k, v in net.state_dict().items()}
    layouts = {name: asdict(net.layout) for name, net in networks.items()}
    return state, {LAYOUTS: json.dumps(layouts)}


def load_network(path: Path, name: str) -> GraphNetwork:
    """Loads one network of a file of `packed` networks, frozen.

    Raises:
        BolidError: If it is missing, or broken.
    """
    prefix = f"{name}."
    state = {k.removeprefix(prefix): v for k, v in load_safetensors(path).items() if k.startswith(prefix)}
    try:
        found = json.loads(safetensors_metadata(path)[LAYOUTS])[name]
        nodes = tuple(Node(n["op"], tuple(n["inputs"]), _numbers(n["options"])) for n in found["nodes"])
        _check_size(nodes, state)
        network = GraphNetwork(Layout(tuple(found["size"]), nodes, tuple(found["outputs"])))
        network.load_state_dict(state)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BolidError(f"{path}: holds no network {name!r} that can be read ({reason}); fetch it anew") from error
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _numbers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Validates a layer's options: integers, lists of integers, and the activation's name."""
    for name, value in options.items():
        if name != "activation" and not all(type(n) is int for n in (value if type(value) is list else [value])):
            raise TypeError(f"{name} is {value!r}")
    return dict(options)


def _check_size(nodes: Sequence[Node], state: Mapping[str, Tensor]) -> None:
    """Checks before memory is allocated that a layout's layers are no larger than the file's weights."""
    convolutions = [n.options for n in nodes if n.op == "convolution"]
    wanted = sum(math.prod([*o["channels"], *o["kernel"]]) // o.get("groups", 1) for o in convolutions)
    if wanted > sum(v.numel() for v in state.values()):
        raise ValueError("its layers have more weights than the file")
