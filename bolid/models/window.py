"""A window that lies along a person's trunk, whatever the pose: where girths are read."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.models.gaussian import SEEN

SHOULDERS, HIPS = [5, 6], [11, 12]
# In lengths of the trunk: from thighs to chin along it, elbows to elbows across.
ALONG, ACROSS = (-1.0, 1.4), (-1.0, 1.0)
WINDOW = (24, 20)
SHORTEST = 0.05  # a trunk is at least this share of the picture's height, even where it points at the camera


def trunk(keypoints: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """The middle of the hips, and the way from there to the middle of the shoulders: (B, 2) each, x, y in pixels."""
    pixels = keypoints * keypoints.new_tensor([size[1], size[0]])
    hips, shoulders = pixels[:, HIPS].mean(1), pixels[:, SHOULDERS].mean(1)
    axis = shoulders - hips
    length = axis.norm(dim=1, keepdim=True)
    upright = axis.new_tensor([0.0, -1.0])
    axis = torch.where(length > 1e-3, axis / length.clamp_min(1e-3), upright)
    return hips, axis * length.clamp_min(SHORTEST * size[0])


def window_grid(middle: Tensor, axis: Tensor, size: torch.Size, window: tuple[int, int] = WINDOW) -> Tensor:
    """Where a window (h, w) along the trunk lies in the picture: (B, h, w, 2) as `grid_sample` wants it."""
    up, across = (
        torch.linspace(*span, n, device=axis.device) for span, n in zip((ALONG[::-1], ACROSS), window, strict=True)
    )
    aside = torch.stack([-axis[:, 1], axis[:, 0]], 1)  # (B, 2) to the right of an upright trunk
    places = middle[:, None, None] + up[:, None, None] * axis[:, None, None] + across[:, None] * aside[:, None, None]
    return 2 * places / places.new_tensor([size[1], size[0]]) - 1


def along_trunk(pictures: Tensor, keypoints: Tensor, window: tuple[int, int] = WINDOW) -> tuple[Tensor, Tensor]:
    """What lies along each trunk, (B, C, H, W) to (B, C, h, w), and whether one is seen (B,) bool.

    Args:
        pictures: Or maps, with zeros for what lies outside.
        keypoints: (B, 17, 3) in their pixels, confidence.
        window: Height and width (h, w) in pixels.
    """
    size = pictures.shape[-2:]
    middle, axis = trunk(keypoints[..., :2] / keypoints.new_tensor([size[1], size[0]]), size)
    near = F.grid_sample(pictures, window_grid(middle, axis, size, window), align_corners=False)
    return near, (keypoints[:, SHOULDERS + HIPS, 2] > SEEN).all(1)


def trunk_coordinates(keypoints: Tensor, size: torch.Size) -> Tensor:
    """Keypoints (B, 17, 3) in lengths of the trunk from the middle of the hips: (B, 34), zeros where not seen."""
    middle, axis = trunk(keypoints[..., :2] / keypoints.new_tensor([size[1], size[0]]), size)
    places = (keypoints[..., :2] - middle[:, None]) / axis.norm(dim=1)[:, None, None]
    return torch.where(keypoints[..., 2:] > 0, places, 0.0).flatten(1)
