"""Windows that lie along a person's trunk, whatever the pose: where girths and heads are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.models.gaussian import SEEN

SHOULDERS, HIPS = [5, 6], [11, 12]
SHORTEST = 0.05  # a trunk is at least this share of the picture's height, even where it points at the camera


@dataclass(frozen=True)
class Window:
    """A part of a person.

    Attributes:
        along: From and to, in lengths of the trunk from the hips (0) towards the shoulders (1).
        across: The same to the left and the right of the trunk, as a viewer sees an upright one.
        size: Height and width (h, w) in pixels.
    """

    along: tuple[float, float]
    across: tuple[float, float]
    size: tuple[int, int]


TRUNK = Window((-1.0, 1.4), (-1.0, 1.0), (24, 20))  # from thighs to chin, elbows to elbows


def trunk(keypoints: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """The middle of the hips, and the way from there to the middle of the shoulders: (B, 2) each, x, y in pixels.

    Args:
        keypoints: (B, 17, 2 or 3) x, y in pixels; where joints are not seen, so is no trunk, see `has_trunk`.
        height: Of the picture, in pixels.
    """
    hips, shoulders = keypoints[:, HIPS, :2].mean(1), keypoints[:, SHOULDERS, :2].mean(1)
    axis = shoulders - hips
    length = axis.norm(dim=1, keepdim=True)
    upright = axis.new_tensor([0.0, -1.0])
    axis = torch.where(length > 1e-3, axis / length.clamp_min(1e-3), upright)
    return hips, axis * length.clamp_min(SHORTEST * height)


def window_grid(middle: Tensor, axis: Tensor, size: torch.Size, window: Window = TRUNK) -> Tensor:
    """Where a window along the trunk lies in the picture: (B, h, w, 2) as `grid_sample` wants it."""
    up, across = (
        torch.linspace(*span, n, device=axis.device)
        for span, n in zip((window.along[::-1], window.across), window.size, strict=True)
    )
    aside = _aside(axis)
    places = middle[:, None, None] + up[:, None, None] * axis[:, None, None] + across[:, None] * aside[:, None, None]
    return 2 * places / places.new_tensor([size[1], size[0]]) - 1


def _aside(axis: Tensor) -> Tensor:
    """(B, 2) to the right of an upright trunk."""
    return torch.stack([-axis[:, 1], axis[:, 0]], 1)


def has_trunk(keypoints: Tensor) -> Tensor:
    """Whether shoulders and hips are seen, to lay a window along: (B, 17, 3) -> (B,) bool."""
    return (keypoints[:, SHOULDERS + HIPS, 2] > SEEN).all(1)


def cut(pictures: Tensor, keypoints: Tensor, window: Window = TRUNK) -> Tensor:
    """What lies in the window: (B, C, H, W) to (B, C, h, w), interpolated where that is sharper and sampled where not.

    Args:
        pictures: Or silhouettes, with zeros for what lies outside.
        keypoints: (B, 17, 3) in their pixels, confidence.
        window: A part of the person.
    """
    size = pictures.shape[-2:]
    middle, axis = trunk(keypoints, size[0])
    return F.grid_sample(pictures, window_grid(middle, axis, size, window), align_corners=False)


def keypoints_in(keypoints: Tensor, height: int, window: Window) -> Tensor:
    """Keypoints (B, 17, 3) in pixels of a picture of a height, in pixels of what `cut` makes of it.

    Those of confidence 0 lie anywhere.
    """
    right, up = _along_trunk(keypoints, height).unbind(-1)
    (low, high), (left, far) = window.along, window.across
    x = (right - left) / (far - left) * (window.size[1] - 1) + 0.5
    y = (high - up) / (high - low) * (window.size[0] - 1) + 0.5
    return torch.stack([x, y, keypoints[..., 2]], -1)


def trunk_coordinates(keypoints: Tensor, height: int) -> Tensor:
    """How far keypoints (B, 17, 3) in pixels of a picture of a height lie to the right of the hips and above.

    Returns:
        (B, 17, 2) in lengths of the trunk, zeros for those that are not seen.
    """
    return torch.where(keypoints[..., 2:] > SEEN, _along_trunk(keypoints, height), 0.0)


def _along_trunk(keypoints: Tensor, height: int) -> Tensor:
    middle, axis = trunk(keypoints, height)
    away = keypoints[..., :2] - middle[:, None]
    directions = torch.stack([_aside(axis), axis], 1)  # (B, 2, 2)
    inner = (away[:, :, None] * directions[:, None]).sum(-1)  # a matrix product would be rounded in bfloat16
    return inner / axis.square().sum(1)[:, None, None]
