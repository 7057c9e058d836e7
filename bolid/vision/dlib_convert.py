"""Reads the weights of dlib's face recogniser from dlib's serialisation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.vision.dlib_face import DlibFaceNetwork
from bolid.vision.networks import Converted

CONVOLUTION, AFFINE, LINEAR = b"\x05con_4", b"\x07affine_", b"\x04fc_2"  # layers' names, each behind its length
LEADING = {LINEAR: 2}  # integers between a layer's name and its numbers: outputs and inputs
MOST = 4 * 1024 * 1024  # maximum number of values in one layer
NEGATIVE, COUNT = 0x80, 0x0F  # an integer's first byte: its sign, and how many bytes follow


def convert(files: Mapping[str, bytes]) -> Converted:
    """Converts `dlib_face_recognition_resnet_model_v1.dat` to the weights of `DlibFaceNetwork`.

    The file lists layers from input to output: each convolution, then its batch norm as a scale and a shift per
    channel, which are folded into the convolution.

    Raises:
        BolidError: If the file holds another network.
    """
    name, data = next(iter(files.items()))
    position = 0
    weights: dict[str, Tensor] = {}
    try:
        for part, like in DlibFaceNetwork().named_modules():
            if isinstance(like, torch.nn.Conv2d):
                kernel, position = tensor(data, CONVOLUTION, position, like.weight.numel() + like.out_channels)
                scale, position = tensor(data, AFFINE, position, 2 * like.out_channels)
                weights |= folded(part, kernel, scale, like.weight)
            elif isinstance(like, torch.nn.Linear):
                numbers, position = tensor(data, LINEAR, position, like.weight.numel())
                weights[f"{part}.weight"] = numbers.reshape(like.in_features, like.out_features).T.contiguous()
    except (ValueError, IndexError) as error:
        raise BolidError(f"{name} is not dlib's face recogniser ({error})") from error
    return Converted(weights)


def folded(part: str, kernel: Tensor, affine: Tensor, like: Tensor) -> dict[str, Tensor]:
    """A convolution's weight and bias with the batch norm folded in."""
    weight, bias = kernel[: like.numel()].reshape(like.shape), kernel[like.numel() :]
    factor, shift = affine.chunk(2)
    return {f"{part}.weight": weight * factor[:, None, None, None], f"{part}.bias": bias * factor + shift}


def tensor(data: bytes, layer: bytes, start: int, size: int) -> tuple[Tensor, int]:
    """The values of the next layer of a name, and their end offset.

    Raises:
        ValueError: If there is none, or it has another size.
    """
    position = data.index(layer, start) + len(layer)
    found = []
    for _ in range(LEADING.get(layer, 0) + 5):  # …, version, samples, channels, rows, columns
        value, position = integer(data, position)
        found.append(value)
    version, *sides = found[-5:]
    if version != 2 or min(sides) < 1 or max(sides) > MOST or np.prod(sides, dtype=np.int64) != size:
        raise ValueError(f"a layer of {sides}, not of {size} numbers")
    values = np.frombuffer(data, "<f4", size, position)
    return torch.tensor(values), position + 4 * size


def integer(data: bytes, position: int) -> tuple[int, int]:
    """The integer at an offset, and its end: a byte of sign and length, then the bytes in little-endian order."""
    head = data[position]
    end = position + 1 + (head & COUNT)
    value = int.from_bytes(data[position + 1 : end], "little")
    return -value if head & NEGATIVE else value, end
