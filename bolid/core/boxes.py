"""Bounding boxes of people."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_convert, masks_to_boxes


def silhouette_boxes(silhouettes: Tensor) -> Tensor:
    """Bounding boxes of masks (B, 1, H, W) in 0..1: (B, 4) centre x, y, width, height as shares of the image.

    An empty mask has the whole image as its box.
    """
    height, width = silhouettes.shape[-2:]
    masks = silhouettes[:, 0] > 0.5
    masks = masks | ~masks.any((1, 2), keepdim=True)
    corners = masks_to_boxes(masks) + masks.new_tensor([0, 0, 1, 1], dtype=torch.float32)  # the last pixel is inside
    return box_convert(corners, "xyxy", "cxcywh") / corners.new_tensor([width, height, width, height])
