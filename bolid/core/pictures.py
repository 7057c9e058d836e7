"""Pictures as networks have them, floats in 0..1, to pictures as files have them, bytes."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in 0..1, clamped, as files hold them: uint8, of the same shape and on the same device."""
    return (pictures.detach().float().clamp(0, 1) * 255).round().byte()


def to_uint8(pictures: Tensor) -> np.ndarray:
    """(..., 3, H, W) in 0..1, clamped, to (..., H, W, 3) uint8."""
    return to_bytes(pictures).cpu().movedim(-3, -1).contiguous().numpy()


def to_image(picture: Tensor) -> Image.Image:
    """A picture (3, H, W) in 0..1 as a Pillow image."""
    return Image.fromarray(to_uint8(picture))
