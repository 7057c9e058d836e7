"""Gaussian weighting of pixels by their distance to keypoints (W of the papers)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SEEN = 0.05  # confidence below which a keypoint counts as undetected


def person_height(keypoints: Tensor) -> Tensor:
    """Vertical extent of the detected keypoints in pixels: (..., K, 3) -> (...), at least 1."""
    seen = keypoints[..., 2] > SEEN
    y = keypoints[..., 1]
    top = torch.where(seen, y, torch.inf).amin(-1)
    bottom = torch.where(seen, y, -torch.inf).amax(-1)
    return (bottom - top).nan_to_num(1.0, 1.0, 1.0).clamp_min(1.0)


def gaussian_maps(keypoints: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """One bump per keypoint: c_i · exp(−‖(x, y) − p_i‖² / 2σ²).

    Args:
        keypoints: (B, K, 3) x, y in pixels of the image, confidence c in 0..1.
        size: Height and width (H, W) of the maps in pixels.
        sigma: Width of the bumps as a share of the person's height.

    Returns:
        (B, K, H, W) in 0..1; zero for undetected keypoints.
    """
    height, width = size
    y = torch.arange(height, device=keypoints.device, dtype=keypoints.dtype) + 0.5
    x = torch.arange(width, device=keypoints.device, dtype=keypoints.dtype) + 0.5
    px, py, confidence = keypoints.unbind(-1)  # (B, K) each
    scale = 1 / (2 * (sigma * person_height(keypoints)) ** 2)[:, None, None]
    along_x = torch.exp(-((x - px[..., None]) ** 2) * scale)  # (B, K, W)
    along_y = torch.exp(-((y - py[..., None]) ** 2) * scale)  # (B, K, H)
    confidence = torch.where(confidence > SEEN, confidence, 0.0)
    return confidence[..., None, None] * along_y[..., None] * along_x[..., None, :]


def gaussian_weight(keypoints: Tensor, size: Sequence[int], sigma: float = 0.10) -> Tensor:
    """W = max_i w_i over the keypoints: (B, K, 3) -> (B, 1, H, W) in 0..1. See `gaussian_maps`."""
    return gaussian_maps(keypoints, size, sigma).amax(1, keepdim=True)
