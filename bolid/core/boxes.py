"""Boxes around people."""

from __future__ import annotations

import torch
from torch import Tensor


def silhouette_boxes(silhouettes: Tensor) -> Tensor:
    """Bounding boxes of masks (B, 1, H, W) in 0..1: (B, 4) centre x, y, width, height as shares of the picture.

    An empty mask has the whole picture as its box.
    """
    height, width = silhouettes.shape[-2:]
    edges = []
    for axis, length in ((-2, width), (-1, height)):
        inside = (silhouettes[:, 0] > 0.5).any(axis).float()  # (B, length)
        first, last = inside.argmax(1), length - inside.flip(1).argmax(1)
        edges.append((first / length, last / length))
    (x0, x1), (y0, y1) = edges
    return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], 1)
