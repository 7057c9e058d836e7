"""Windows aligned with a person's trunk in any pose, in which girths and the head have fixed positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.models.gaussian import SEEN

SHOULDERS, HIPS = [5, 6], [11, 12]
SHORTEST = 0.05  # minimum trunk length as a share of the image's height, for trunks that point at the camera


@dataclass(frozen=True)
class Window:
    """A window relative to the trunk.

    Attributes:
        along: Range along the trunk in trunk lengths, from the hips (0) to the shoulders (1).
        across: Range across the trunk in trunk lengths, from the viewer's left to right for an upright trunk.
        size: Height and width (h, w) in pixels.
    """

    along: tuple[float, float]
    across: tuple[float, float]
    size: tuple[int, int]


TRUNK = Window((-1.0, 1.4), (-1.0, 1.0), (24, 20))  # from thighs to chin, elbows to elbows


def trunk(keypoints: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """The middle of the hips, and the vector to the middle of the shoulders: (B, 2) each, x, y in pixels.

    Args:
        keypoints: (B, 17, 2 or 3) x, y in pixels; meaningful only where `has_trunk`.
        height: Height of the image in pixels.
    """
    hips, shoulders = keypoints[:, HIPS, :2].mean(1), keypoints[:, SHOULDERS, :2].mean(1)
    axis = shoulders - hips
    length = axis.norm(dim=1, keepdim=True)
    upright = axis.new_tensor([0.0, -1.0])
    axis = torch.where(length > 1e-3, axis / length.clamp_min(1e-3), upright)
    return hips, axis * length.clamp_min(SHORTEST * height)


def window_grid(middle: Tensor, axis: Tensor, size: torch.Size, window: Window = TRUNK) -> Tensor:
    """The sampling grid of a window along the trunk: (B, h, w, 2) for `grid_sample`."""
    up, across = (
        torch.linspace(*span, n, device=axis.device)
        for span, n in zip((window.along[::-1], window.across), window.size, strict=True)
    )
    aside = _aside(axis)
    places = middle[:, None, None] + up[:, None, None] * axis[:, None, None] + across[:, None] * aside[:, None, None]
    return 2 * places / places.new_tensor([size[1], size[0]]) - 1


def _aside(axis: Tensor) -> Tensor:
    """The vector (B, 2) that points right for an upright trunk."""
    return torch.stack([-axis[:, 1], axis[:, 0]], 1)


def has_trunk(keypoints: Tensor) -> Tensor:
    """Whether shoulders and hips are visible: (B, 17, 3) -> (B,) bool."""
    return (keypoints[:, SHOULDERS + HIPS, 2] > SEEN).all(1)


def cut(pictures: Tensor, keypoints: Tensor, window: Window = TRUNK) -> Tensor:
    """Samples the window bilinearly: (B, C, H, W) to (B, C, h, w).

    Args:
        pictures: Images or silhouettes; zero outside.
        keypoints: (B, 17, 3) in their pixels, confidence.
        window: The window.
    """
    size = pictures.shape[-2:]
    middle, axis = trunk(keypoints, size[0])
    return F.grid_sample(pictures, window_grid(middle, axis, size, window), align_corners=False)


def keypoints_in(keypoints: Tensor, height: int, window: Window) -> Tensor:
    """Converts keypoints (B, 17, 3) from pixels of an image to pixels of its window by `cut`.

    Coordinates of confidence 0 are arbitrary.
    """
    right, up = _along_trunk(keypoints, height).unbind(-1)
    (low, high), (left, far) = window.along, window.across
    x = (right - left) / (far - left) * (window.size[1] - 1) + 0.5
    y = (high - up) / (high - low) * (window.size[0] - 1) + 0.5
    return torch.stack([x, y, keypoints[..., 2]], -1)


def trunk_coordinates(keypoints: Tensor, height: int) -> Tensor:
    """Coordinates of keypoints (B, 17, 3) relative to the hips, across and along the trunk.

    Returns:
        (B, 17, 2) in trunk lengths, zero for invisible keypoints.
    """
    return torch.where(keypoints[..., 2:] > SEEN, _along_trunk(keypoints, height), 0.0)


def _along_trunk(keypoints: Tensor, height: int) -> Tensor:
    middle, axis = trunk(keypoints, height)
    offset = keypoints[..., :2] - middle[:, None]
    directions = torch.stack([_aside(axis), axis], 1)  # (B, 2, 2)
    inner = (offset[:, :, None] * directions[:, None]).sum(-1)  # a matrix product would round under bfloat16 autocast
    return inner / axis.square().sum(1)[:, None, None]
