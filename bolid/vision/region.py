"""Rotated square regions of an image: crops for landmark networks, and the transform back to the image.

A region is x, y of its centre and its side in pixels of the image, and the angle in radians of its clockwise rotation.
Coordinates are continuous: an image spans 0..width.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.vision.ssd import to_unit

SHARP = 2.0  # maximum image pixels per pixel of the crop; beyond, the image is first reduced with antialiasing


def region_between(centre: Tensor, top: Tensor, margin: float = 1.25) -> Tensor:
    """The region with centre `centre` that points up to `top`, at a distance of half its side / margin.

    Args:
        centre: (..., 2) x, y.
        top: (..., 2).
        margin: Factor by which the region is larger.

    Returns:
        (..., 4).
    """
    vector = top - centre
    side = 2 * margin * vector.norm(dim=-1)
    angle = math.pi / 2 - torch.atan2(-vector[..., 1], vector[..., 0])
    return torch.cat([centre, torch.stack([side, angle], -1)], -1)


def whole(height: int, width: int) -> Tensor:
    """The upright square around a whole image: (4,)."""
    return torch.tensor([width / 2, height / 2, float(max(height, width)), 0.0])


def matrices(regions: Tensor, size: int) -> Tensor:
    """Transforms from pixels of a crop of size x size to pixels of the image: (n, 4) -> (n, 2, 3)."""
    scale = regions[:, 2] / size
    cos, sin = scale * regions[:, 3].cos(), scale * regions[:, 3].sin()
    turn = torch.stack([cos, -sin, sin, cos], -1).unflatten(-1, (2, 2))  # (n, 2, 2)
    shift = regions[:, :2] - turn.sum(-1) * size / 2
    return torch.cat([turn, shift[..., None]], -1)


def apply(matrix: Tensor, points: Tensor) -> Tensor:
    """Points (n, K, 2) by matrices (n, 2, 3)."""
    return points @ matrix[..., :2].mT + matrix[..., None, :, 2]


def cut(picture: Tensor, matrix: Tensor, size: int) -> Tensor:
    """A crop of an image, black outside of it, with gradients to the image.

    Args:
        picture: (3, H, W), uint8 or in 0..1.
        matrix: (2, 3), see `matrices`.
        size: Side of the crop in pixels.

    Returns:
        (3, size, size) in 0..1.
    """
    limit = torch.tensor([picture.shape[2], picture.shape[1]])
    corners = apply(matrix, matrix.new_tensor([[0, 0], [size, 0], [0, size], [size, size]])).cpu()
    start = (corners.amin(0).floor().int() - 2).clamp_min(0).minimum(limit)
    end = (corners.amax(0).ceil().int() + 2).clamp_min(0).minimum(limit)
    if not (end > start).all():
        return picture.new_zeros(3, size, size, dtype=torch.float32)
    part = picture[None, :, start[1] : end[1], start[0] : end[0]]
    reduction = float(matrix[:, :2].norm(dim=0)[0]) / SHARP
    if reduction > 1:
        smaller = [max(1, math.ceil(side / reduction)) for side in part.shape[2:]]
        part = F.interpolate(part, smaller, mode="bilinear", antialias=True, align_corners=False)
    line = torch.arange(size, device=matrix.device, dtype=matrix.dtype) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = apply(matrix, torch.stack([x, y], -1).flatten(0, 1))  # in pixels of the image
    grid = (places - start.to(matrix)) / (end - start).to(matrix) * 2 - 1  # relative coordinates
    part = to_unit(part)
    return F.grid_sample(part, grid.view(1, size, size, 2).to(part), align_corners=False)[0]


def paste(mask: np.ndarray, matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pastes a crop's mask (size, size) in 0..1 into the image: (H, W) uint8, 0 outside of the crop."""
    import cv2

    moved = np.asarray(matrix, np.float64).copy()
    moved[:, 2] += moved[:, :2].sum(1) / 2 - 0.5  # OpenCV counts from the middle of the first pixel
    shown = (np.asarray(mask) * 255).round().astype(np.uint8)
    return cv2.warpAffine(shown, moved, (width, height))
