"""Convolutional networks described by a short list of layers, as files of other runtimes are read into.

A layout is data: names of known layers and numbers, kept as JSON in the metadata of the safetensors file that holds the
weights. Nothing of it is ever evaluated.
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
        inputs: Numbers of the values it takes: 0 is the network's input, k the output of the k-th node, from 1.
        options: Arguments of the layer.
    """

    op: str
    inputs: tuple[int, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """A network without its weights.

    Attributes:
        size: Height and width of the images it takes.
        nodes: In the order of computation.
        outputs: Numbers of the values it answers with.
    """

    size: tuple[int, int]
    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]


class Convolution(nn.Conv2d):
    """A convolution with a padding for each side, (left, right, top, bottom) in pixels."""

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
        """Whatever the function gives."""
        return self.function(*values, **self.options)


def add(a: Tensor, b: Tensor) -> Tensor:
    """Two values of one shape."""
    return a + b


def pad(x: Tensor, amount: list[int]) -> Tensor:
    """Zeros around (B, C, h, w): left, right, top, bottom, first and last channels."""
    return F.pad(x, amount)


def max_pool(x: Tensor, kernel: list[int], stride: list[int]) -> Tensor:
    """Without padding."""
    return F.max_pool2d(x, kernel, stride)


def resize(x: Tensor, size: list[int]) -> Tensor:
    """Bilinear, pixels as areas."""
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
    """Along an axis."""
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
        """Of the node's inputs."""
        return self.after(self.body(*values))


class GraphNetwork(nn.Module):
    """The network of a layout, with random weights until `load_state_dict`.

    Raises:
        BolidError: If the layout has a layer that is not known, or takes a value before it is there.
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
        self._done: list[list[int]] = [[] for _ in layout.nodes]  # values that nothing needs after a node
        for k in last.keys() - set(layout.outputs):
            self._done[last[k]].append(k)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Pictures (B, 3, H, W) -> the outputs, (B, …) each; images among them as (B, C, h, w)."""
        values = {0: pictures.contiguous(memory_format=torch.channels_last)}
        for number, (node, made) in enumerate(zip(self.layout.nodes, self.layers, strict=True)):
            values[number + 1] = made(*(values[k] for k in node.inputs))
            for k in self._done[number]:  # so that without gradients only what is still needed takes memory
                del values[k]
        return [values[k] for k in self.layout.outputs]


def packed(networks: Mapping[str, GraphNetwork]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights and metadata of the safetensors file that holds these networks, for `load_network`."""
    state = {f"{name}.{k}": v.contiguous() for name, net in networks.items() for k, v in net.state_dict().items()}
    layouts = {name: asdict(net.layout) for name, net in networks.items()}
    return state, {LAYOUTS: json.dumps(layouts)}


def load_network(path: Path, name: str) -> GraphNetwork:
    """One network of a file of `packed` ones, frozen.

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
    """The options of a layer, all of which are whole numbers and lists of them but the activation's name."""
    for name, value in options.items():
        if name != "activation" and not all(type(n) is int for n in (value if type(value) is list else [value])):
            raise TypeError(f"{name} is {value!r}")
    return dict(options)


def _check_size(nodes: Sequence[Node], state: Mapping[str, Tensor]) -> None:
    """Before memory is taken for a layout's layers: they are no larger than the weights that are there."""
    convolutions = [n.options for n in nodes if n.op == "convolution"]
    wanted = sum(math.prod([*o["channels"], *o["kernel"]]) // o.get("groups", 1) for o in convolutions)
    if wanted > sum(v.numel() for v in state.values()):
        raise ValueError("its layers have more weights than the file")
