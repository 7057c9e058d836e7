"""Watermark detection: the embedded network, or the public convnext-tiny by path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.safe_io import load_safetensors
from bolid.vision.base import Frozen

WEIGHTS = "model.safetensors"
ACCURACY = "accuracy"  # metadata key of the accuracy on held-out images after training
SIDE = 768  # shorter side of the embedded network's input in pixels
LONGEST = 2048  # maximum longer side in pixels
LEAST = 512  # smaller photos are enlarged to it, since their marks are small, too
STRIDE = 16  # pixels per cell
TOP = 4  # number of cells with the highest logits, which are averaged
PUBLIC_SIZE = 256
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class WatermarkDetector(Protocol):
    """Protocol of watermark detectors."""

    def score(self, rgb: np.ndarray) -> float:
        """Score of a photo (H, W, 3) uint8, from 0 (none) to 1."""
        ...


class WatermarkNetwork(nn.Module):
    """RGB images to a map of watermark logits per 16 x 16 cell, with a receptive field of about 240 pixels."""

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 64, 96, 96, 96)) -> None:
        super().__init__()
        strides, spread, channels = (2, 2, 2, 1, 2, 1, 1), (1, 1, 1, 1, 1, 2, 4), (3, *widths)
        self.layers = nn.Sequential(
            *(Layer(*sizes) for sizes in zip(channels[:-1], widths, strides, spread, strict=True))
        )
        self.head = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1, sides multiples of 16 -> (B, H / 16, W / 16) logits."""
        coarse = F.avg_pool2d(rgb, STRIDE)
        local = F.interpolate(coarse, rgb.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(self.layers((rgb - local) * 4))[:, 0]  # removes brightness and shading


class Layer(nn.Module):
    """A 3 x 3 convolution with normalisation, residual if the shape is unchanged."""

    def __init__(self, inputs: int, outputs: int, stride: int, spread: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride, spread, spread, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = F.silu(self.norm(self.convolution(x)))
        return x + y if self.residual else y


def photo_logits(cells: Tensor) -> Tensor:
    """(B, h, w) logits of cells -> (B,) of photos: the mean of the `TOP` highest after smoothing over neighbours."""
    smooth = F.avg_pool2d(cells[:, None], 3, stride=1, padding=1, count_include_pad=False).flatten(1)
    return smooth.topk(min(TOP, smooth.shape[1]), dim=1).values.mean(1)


class EmbeddedWatermark(Frozen):
    """The network trained by `bolid bundle watermark`.

    Args:
        folder: Folder of its weights; their `threshold` is the photo's logit for a score of one half.

    Raises:
        BolidError: If they are missing or of another network.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / WEIGHTS
        weights = {name: value.float() for name, value in load_safetensors(path).items()}
        network = WatermarkNetwork()
        try:
            self.threshold = float(weights.pop("threshold"))
            network.load_state_dict(weights, strict=False)
            missing = network.state_dict().keys() - weights.keys()
            if any("num_batches" not in name for name in missing):
                raise KeyError(next(iter(missing)))
        except (RuntimeError, KeyError) as error:
            raise BolidError(f"{path} holds no watermark network: train it by `bolid bundle watermark`") from error
        super().__init__(network.to(memory_format=torch.channels_last))  # about 25 % faster

    @torch.inference_mode()
    def score(self, rgb: np.ndarray) -> float:
        """Score of a photo (H, W, 3) uint8, 0 to 1."""
        cells = self.network(prepared(rgb))
        return float(torch.sigmoid(photo_logits(cells)[0] - self.threshold))


def prepared(rgb: np.ndarray) -> Tensor:
    """The embedded network's input for a photo: (1, 3, h, w) in 0..1, sides multiples of 16."""
    import cv2

    height, width = rgb.shape[:2]
    scale = min(max(1.0, LEAST / min(height, width)), SIDE / min(height, width), LONGEST / max(height, width))
    size = [max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in (width, height)]
    way = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    shown = cv2.resize(np.ascontiguousarray(rgb), size, interpolation=way)
    return torch.from_numpy(shown).permute(2, 0, 1)[None].float() / 255


class PublicWatermark(Frozen):
    """The convnext-tiny of the public watermark detector, at 256 x 256 pixels.

    Args:
        path: `convnext-tiny_watermarks_detector.pth` (read without unpickling objects), or its tensors as safetensors.

    Raises:
        BolidError: If it is missing or of another network.
    """

    def __init__(self, path: Path) -> None:
        import timm
        from timm.models.convnext import checkpoint_filter_fn

        network: Any = timm.create_model("convnext_tiny", num_classes=0)
        network.head.fc = nn.Sequential(
            nn.Linear(768, 512), nn.GELU(), nn.Linear(512, 256), nn.GELU(), nn.Linear(256, 2)
        )
        weights = read_tensors(path)
        head = {f"head.fc.{k.removeprefix('head.')}": v for k, v in weights.items() if k.startswith("head.")}
        body = {k: v for k, v in weights.items() if not k.startswith("head.")}
        try:
            network.load_state_dict({**checkpoint_filter_fn(body, network), **head})
        except (RuntimeError, KeyError, AttributeError) as error:
            raise BolidError(f"{path} is not the public convnext-tiny for watermarks ({str(error)[:100]})") from error
        super().__init__(network)

    @torch.inference_mode()
    def score(self, rgb: np.ndarray) -> float:
        """Score of a photo (H, W, 3) uint8, 0 to 1."""
        picture = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None] / 255
        shown = F.interpolate(picture, (PUBLIC_SIZE, PUBLIC_SIZE), mode="bilinear", antialias=True)
        mean, deviation = (torch.tensor(v)[None, :, None, None] for v in (MEAN, DEVIATION))
        return float(self.network((shown - mean) / deviation).softmax(1)[0, 1])


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Loads a .safetensors file, or a checkpoint that holds only tensors.

    Raises:
        BolidError: If it holds anything else.
    """
    import pickle

    if path.suffix == ".safetensors":
        return load_safetensors(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        raise BolidError(f"{path}: no file of tensors ({str(error).splitlines()[0][:80]})") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise BolidError(f"{path}: holds other things than tensors")
    return found


def weights_of(network: str) -> Path:
    """The path of a network's weights.

    Raises:
        BolidError: If it is missing.
    """
    path = resolve(network)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise BolidError(f"{path}: no watermark network here; give another, or leave the filter out")
    return path


def described(network: str) -> str:
    """A description of a network: the embedded one with its accuracy, the public one by its file."""
    path = weights_of(network)
    if not resolve(network).is_dir():
        return path.name
    return f"BoLID's own small network, {_accuracy(path)} right on held-out images"


def _accuracy(path: Path) -> str:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return f"{float((file.metadata() or {}).get(ACCURACY, 'nan')):.2f}"
    except (SafetensorError, OSError, ValueError) as error:
        raise BolidError(f"{path} holds no watermark network: train it by `bolid bundle watermark`") from error


def load_watermark(network: str) -> WatermarkDetector:
    """Loads the embedded network of a folder, or the public one of a file; see `weights_of` for errors."""
    path = weights_of(network)
    return EmbeddedWatermark(path.parent) if resolve(network).is_dir() else PublicWatermark(path)
