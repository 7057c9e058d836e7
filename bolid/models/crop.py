"""Crops to a person, by one convention for references, metrics and losses."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

MARGIN = 0.1  # added on every side of the box, as a share of the box's height
GREY = 0.0  # fill value outside the image; mid-grey for images in -1..1


def crop_window(box: Tensor, picture_size: tuple[int, int], size: tuple[int, int], margin: float = MARGIN) -> list[int]:
    """The whole-pixel window around a person that has the aspect of `size`; it may reach outside the image.

    Args:
        box: (4,) x0, y0, x1, y1 of the person in pixels; an empty box means the whole image.
        picture_size: Height and width of the image in pixels.
        size: Height and width of the crop; only their ratio matters here.
        margin: Added on every side, as a share of the box's height.

    Returns:
        x0, y0, x1, y1 in whole pixels, at least one pixel wide and high.
    """
    x0, y0, x1, y1 = box.tolist()
    if x1 <= x0 or y1 <= y0:
        x0, y0, x1, y1, margin = 0.0, 0.0, picture_size[1], picture_size[0], 0.0
    border = margin * (y1 - y0)
    width, height = x1 - x0 + 2 * border, y1 - y0 + 2 * border
    aspect = size[1] / size[0]
    width, height = max(width, height * aspect), max(height, width / aspect)
    width, height = max(1, round(width)), max(1, round(height))
    left, top = round((x0 + x1 - width) / 2), round((y0 + y1 - height) / 2)
    return [left, top, left + width, top + height]


def crop_to_person(
    pictures: Tensor, keypoints: Tensor, box: Tensor, size: tuple[int, int], margin: float = MARGIN
) -> tuple[Tensor, Tensor]:
    """Crops every image to its person, pads to the aspect of `size` and resizes; differentiable in the images.

    Args:
        pictures: (B, 3, H, W) in -1..1.
        keypoints: (B, K, 3) x, y in pixels of the image, confidence (0: undetected, stays x = y = 0).
        box: (B, 4) x0, y0, x1, y1 in pixels; an empty box keeps the whole image.
        size: Height and width (h, w) of the crops in pixels.
        margin: Added on every side of the box, as a share of the box's height.

    Returns:
        The crops (B, 3, h, w) in -1..1, and the keypoints (B, K, 3) in pixels of the crops.
    """
    picture_size = (pictures.shape[-2], pictures.shape[-1])
    windows = [crop_window(b, picture_size, size, margin) for b in box]
    crops = [_cut(picture, window, size) for picture, window in zip(pictures, windows, strict=True)]
    return torch.stack(crops), _move(keypoints, windows, size)


def _cut(picture: Tensor, window: list[int], size: tuple[int, int]) -> Tensor:
    x0, y0, x1, y1 = window
    height, width = picture.shape[-2:]
    inside = picture[:, max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    padding = [
        min(max(-x0, 0), x1 - x0),
        max(x1 - max(width, x0), 0),
        min(max(-y0, 0), y1 - y0),
        max(y1 - max(height, y0), 0),
    ]
    padded = F.pad(inside, padding, value=GREY)  # (3, y1 - y0, x1 - x0)
    return F.interpolate(padded[None], size, mode="bilinear", antialias=True, align_corners=False)[0].clamp(-1, 1)


def _move(keypoints: Tensor, windows: list[list[int]], size: tuple[int, int]) -> Tensor:
    corners = torch.tensor(windows, dtype=keypoints.dtype, device=keypoints.device)[:, None]  # (B, 1, 4)
    scale = keypoints.new_tensor([size[1], size[0]]) / (corners[..., 2:] - corners[..., :2])
    confidence = keypoints[..., 2:]
    places = torch.where(confidence > 0, (keypoints[..., :2] - corners[..., :2]) * scale, 0.0)
    return torch.cat([places, confidence], -1)
