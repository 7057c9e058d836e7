"""Converts float images in 0..1 to bytes and Pillow images."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor


def to_bytes(pictures: Tensor) -> Tensor:
    """Images in 0..1, clamped, to uint8 of the same shape and device."""
    return (pictures.detach().float().clamp(0, 1) * 255).round().byte()


def to_uint8(pictures: Tensor) -> np.ndarray:
    """(..., 3, H, W) in 0..1, clamped, to (..., H, W, 3) uint8."""
    return to_bytes(pictures).cpu().movedim(-3, -1).contiguous().numpy()


def to_image(picture: Tensor) -> Image.Image:
    """An image (3, H, W) in 0..1 as a Pillow image."""
    return Image.fromarray(to_uint8(picture))
