"""Converts a `.tflite` file of a convolutional network to torch: its graph as a layout, its weights as float32.

Constants are unpacked: float16 to float32, sparse to dense. TFLite has channels last, torch channels first.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from bolid.core.errors import BolidError
from bolid.vision.graph import GraphNetwork, Layout, Node, packed
from bolid.vision.networks import Converted

ACTIVATIONS = {0: "", 1: "relu", 3: "relu6"}  # ActivationFunctionType
SAME = 0  # Padding
DENSE = 0  # DimensionType
UNPACKED = ("DEQUANTIZE", "DENSIFY")  # operators on constants


def read_tflite(data: bytes) -> GraphNetwork:
    """The network of a file's content, with its weights, frozen.

    Raises:
        BolidError: If it is no such network, or has an unsupported layer.
    """
    if data[4:8] != b"TFL3":
        raise BolidError("not a .tflite network")
    try:
        return _Reader(data).network()
    except (struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise BolidError(f"a .tflite network that cannot be read ({type(error).__name__}: {error})") from error


def convert(files: Mapping[str, bytes]) -> Converted:
    """Converts a MediaPipe solution's detector and landmark networks; see `bolid.vision.networks`."""
    found = {"landmarks" if "landmark" in name else "detector": read_tflite(data) for name, data in files.items()}
    return Converted(*packed(found))


class _Reader:
    """Converts the operators of a model's only subgraph."""

    def __init__(self, data: bytes) -> None:
        import tflite

        self.schema = tflite
        self.model = tflite.Model.GetRootAs(data, 0)
        self.graph = self.model.Subgraphs(0)
        self.names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
        self.constants: dict[int, np.ndarray] = {}  # of unpacked tensors
        self.values = {self.graph.Inputs(0): 0}  # tensor -> index in the layout
        self.nodes: list[Node] = []
        self.weights: dict[str, torch.Tensor] = {}

    def network(self) -> GraphNetwork:
        for number in range(self.graph.OperatorsLength()):
            operator = self.graph.Operators(number)
            code = self.model.OperatorCodes(operator.OpcodeIndex())
            name = self.names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            if name in UNPACKED:
                self.constants[operator.Outputs(0)] = self.constant(operator.Inputs(0)).astype(np.float32)
            elif name in READERS:
                self.add(operator, *READERS[name](self, operator))
            else:
                raise ValueError(f"layer {name} is not known")
        outputs = tuple(self.values[k] for k in self.graph.OutputsAsNumpy().tolist())
        height, width = self.shape(self.graph.Inputs(0))[1:3]
        network = GraphNetwork(Layout((height, width), tuple(self.nodes), outputs))
        network.load_state_dict(self.weights)
        return network.eval().requires_grad_(False)

    def add(self, operator: Any, op: str, options: dict[str, Any], fused: Any = None) -> None:
        activation = ACTIVATIONS[fused.FusedActivationFunction()] if fused is not None else ""
        if activation:
            options["activation"] = activation
        inputs = operator.InputsAsNumpy().tolist()
        self.nodes.append(Node(op, tuple(self.values[k] for k in inputs if k in self.values), options))
        self.values[operator.Outputs(0)] = len(self.nodes)

    def options(self, operator: Any, kind: str) -> Any:
        table = operator.BuiltinOptions()
        found = getattr(self.schema, kind)()
        found.Init(table.Bytes, table.Pos)
        return found

    def shape(self, tensor: int) -> list[int]:
        return self.graph.Tensors(tensor).ShapeAsNumpy().tolist()

    def constant(self, tensor: int) -> np.ndarray:
        """A constant tensor as it is stored, dense."""
        if tensor in self.constants:
            return self.constants[tensor]
        found = self.graph.Tensors(tensor)
        kinds = {self.schema.TensorType.FLOAT32: "<f4", self.schema.TensorType.FLOAT16: "<f2"}
        kinds[self.schema.TensorType.INT32] = "<i4"
        buffer = self.model.Buffers(found.Buffer()).DataAsNumpy()
        flat = np.frombuffer(buffer.tobytes(), kinds[found.Type()])
        if found.Sparsity() is not None:
            return densified(flat, self.shape(tensor), found.Sparsity())
        return flat.reshape(self.shape(tensor))

    def convolution(self, operator: Any, fused: Any, kernel: np.ndarray, groups: int = 1) -> tuple[str, dict, Any]:
        """`kernel` is (C', C / groups, h, w)."""
        if (fused.DilationHFactor(), fused.DilationWFactor()) != (1, 1):
            raise ValueError("a dilated convolution is not known")
        stride, window = [fused.StrideH(), fused.StrideW()], list(kernel.shape[2:])
        options: dict[str, Any] = {"channels": [kernel.shape[1] * groups, kernel.shape[0]], "kernel": window}
        options |= {"stride": stride, "pad": [0, 0, 0, 0], "groups": groups}
        if fused.Padding() == SAME:
            options["pad"] = same_padding(self.shape(operator.Inputs(0))[1:3], window, stride)
        place = f"layers.{len(self.nodes)}.body."
        self.weights[f"{place}weight"] = torch.from_numpy(np.array(kernel, np.float32, order="C"))
        bias = self.constant(operator.Inputs(2)) if operator.InputsLength() > 2 else np.zeros(len(kernel))
        self.weights[f"{place}bias"] = torch.from_numpy(np.array(bias, np.float32))
        return "convolution", options, fused


def same_padding(size: list[int], kernel: list[int], stride: list[int]) -> list[int]:
    """TensorFlow's SAME padding: the output has ceil(size / stride) pixels; right and bottom get the odd pixel."""
    spare = [max((math.ceil(n / s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, stride, strict=True)]
    down, across = spare
    return [across // 2, across - across // 2, down // 2, down - down // 2]


def densified(flat: np.ndarray, shape: list[int], sparsity: Any) -> np.ndarray:
    """A sparse tensor as a dense one.

    Its axes, and those of its blocks, are stored in `traversal order`, each dense or as compressed sparse rows.
    """
    order, blocks = sparsity.TraversalOrderAsNumpy().tolist(), sparsity.BlockMapLength()
    block_of = sparsity.BlockMapAsNumpy().tolist() if blocks else []
    levels = [sparsity.DimMetadata(k) for k in range(sparsity.DimMetadataLength())]
    places: list[tuple[tuple[int, ...], int]] = [
        ((), 0)
    ]  # indices so far, and how many stored entries of this level come before
    for level in levels:
        nexts: list[tuple[tuple[int, ...], int]] = []
        if level.Format() == DENSE:
            nexts = [((*at, k), n * level.DenseSize() + k) for at, n in places for k in range(level.DenseSize())]
        else:
            ends, held = _integers(level, "ArraySegments"), _integers(level, "ArrayIndices")
            nexts = [((*at, held[k]), k) for at, n in places for k in range(ends[n], ends[n + 1])]
        places = nexts
    sides = {order[k]: levels[k].DenseSize() for k in range(len(order)) if order[k] >= len(shape)}
    result = np.zeros(shape, flat.dtype)
    for at, number in places:
        by_axis = dict(zip(order, at, strict=True))
        index = [by_axis[axis] for axis in range(len(shape))]
        for k, axis in enumerate(block_of):
            index[axis] = index[axis] * sides[len(shape) + k] + by_axis[len(shape) + k]
        result[tuple(index)] = flat[number]
    return result


def _integers(level: Any, what: str) -> list[int]:
    """A vector stored as 8, 16 or 32 bit integers."""
    import tflite

    kind = getattr(level, f"{what}Type")()
    names = {v: k for k, v in vars(tflite.SparseIndexVector).items() if isinstance(v, int)}
    table, vector = getattr(level, what)(), getattr(tflite, names[kind])()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy().tolist()


def _convolution(r: _Reader, o: Any) -> tuple:
    return r.convolution(o, r.options(o, "Conv2DOptions"), r.constant(o.Inputs(1)).transpose(0, 3, 1, 2))


def _depthwise(r: _Reader, o: Any) -> tuple:
    kernel = r.constant(o.Inputs(1)).transpose(3, 0, 1, 2)  # (1, h, w, C) -> (C, 1, h, w)
    return r.convolution(o, r.options(o, "DepthwiseConv2DOptions"), kernel, groups=r.shape(o.Inputs(0))[3])


def _pad(r: _Reader, o: Any) -> tuple:
    batch, down, across, channels = r.constant(o.Inputs(1)).tolist()
    if batch != [0, 0]:
        raise ValueError("a padding of the batch")
    return "pad", {"amount": [*across, *down, *channels]}


def _max_pool(r: _Reader, o: Any) -> tuple:
    fused = r.options(o, "Pool2DOptions")
    kernel, stride = [fused.FilterHeight(), fused.FilterWidth()], [fused.StrideH(), fused.StrideW()]
    if fused.Padding() == SAME and any(same_padding(r.shape(o.Inputs(0))[1:3], kernel, stride)):
        raise ValueError("max pooling with padding is not known")
    return "max_pool", {"kernel": kernel, "stride": stride}, fused


def _resize(r: _Reader, o: Any) -> tuple:
    found = r.options(o, "ResizeBilinearOptions")
    if found.AlignCorners() or not found.HalfPixelCenters():
        raise ValueError("only resizing with half pixel centres is known")
    return "resize", {"size": r.constant(o.Inputs(1)).tolist()}


def _reshape(r: _Reader, o: Any) -> tuple:
    shape = r.shape(o.Outputs(0))[1:]
    if len(shape) > 2:
        raise ValueError("reshaping to images is not known")
    return "reshape", {"shape": shape}


def _concatenate(r: _Reader, o: Any) -> tuple:
    found = r.options(o, "ConcatenationOptions")
    if len(r.shape(o.Outputs(0))) > 3:
        raise ValueError("joining images is not known")
    return "concatenate", {"axis": found.Axis()}, found


READERS: dict[str, Callable[[_Reader, Any], tuple]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "ADD": lambda r, o: ("add", {}, r.options(o, "AddOptions")),
    "PAD": _pad,
    "MAX_POOL_2D": _max_pool,
    "RESIZE_BILINEAR": _resize,
    "RESHAPE": _reshape,
    "CONCATENATION": _concatenate,
    "DEPTH_TO_SPACE": lambda r, o: ("depth_to_space", {"block": r.options(o, "DepthToSpaceOptions").BlockSize()}),
    "RELU": lambda r, o: ("relu", {}),
    "LOGISTIC": lambda r, o: ("sigmoid", {}),
}
