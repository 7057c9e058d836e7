"""Decodes MoveNet MultiPose's maps, with the arithmetic of its published graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDE = 4  # pixels per cell of the maps
MOST = 6  # people
SAME_PEAK = 1.0132789611816406e-06  # tolerance below the maximum of the 5 x 5 neighbourhood of a peak
SPREAD = 0.300048828125  # scale of the distance to the expected position, as a share of the shorter side
SEEN = 0.126953125  # minimum score of the keypoints in a person's score


class Maps(NamedTuple):
    """Output maps of the network, at stride 4.

    Attributes:
        centre: (B, 1, h, w) logits of a person's centre.
        size: (B, 2, h, w) height and width of that person's box, in cells.
        shift: (B, 2, h, w) y and x from the cell's corner to the box's centre, in cells.
        heat: (B, 17, h, w) logits of any person's keypoint.
        regression: (B, 17, 2, h, w) y and x from a person's centre to the keypoints, in cells.
        offset: (B, 17, 2, h, w) y and x from the cell's corner to the keypoint in it, in cells.
    """

    centre: Tensor
    size: Tensor
    shift: Tensor
    heat: Tensor
    regression: Tensor
    offset: Tensor


class Found(NamedTuple):
    """Six candidates per image by the score of their centre, in pixels of the network's input.

    Attributes:
        keypoints: (B, 6, 17, 2) x and y.
        confidence: (B, 6, 17) of the keypoints, 0..1.
        boxes: (B, 6, 4) x0, y0, x1, y1, inside the image.
        scores: (B, 6) 0..1.
    """

    keypoints: Tensor
    confidence: Tensor
    boxes: Tensor
    scores: Tensor


def decode(maps: Maps) -> Found:
    """Decodes the six most likely people.

    Confidences and scores have gradients to `centre` and `heat`, boxes to `size` and `shift`, keypoints to `offset` at
    their cell; the choice of the cell has none. So that a loss can move a keypoint by more than a cell, keypoints also
    have the gradient of their `regression` from the centre, which affects their values only by the choice of the cell.
    """
    centres = torch.sigmoid(maps.centre)  # (B, 1, h, w)
    width = centres.shape[-1]
    peaks = centres * ((centres - F.max_pool2d(centres, 5, 1, 2)).abs() < SAME_PEAK)
    likely, cells = peaks.flatten(1).topk(MOST)  # (B, 6)
    rows, columns = cells.div(width, rounding_mode="floor"), cells % width
    places = torch.stack([rows, columns], -1)  # (B, 6, 2) y, x of cells
    boxes = _boxes(maps, places, cells)  # (B, 6, 4) y0, x0, y1, x1 in cells
    expected = places[:, :, None] + _at(maps.regression, cells)  # (B, 6, 17, 2)
    found, confidence = _keypoints(maps, boxes, expected)
    kept = confidence * (confidence > SEEN)
    scores = likely * kept.sum(-1) / (confidence > SEEN).sum(-1).clamp_min(1)
    keypoints = found + (expected - expected.detach())
    return Found(keypoints.flip(-1) * STRIDE, confidence, boxes[..., [1, 0, 3, 2]] * STRIDE, scores)


def _at(maps: Tensor, cells: Tensor) -> Tensor:
    """Maps (B, …, h, w) at flat cells (B, n) -> (B, n, …)."""
    flat = maps.flatten(-2).flatten(1, -2)  # (B, C, h * w)
    taken = flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).mT  # (B, n, C)
    return taken.unflatten(2, maps.shape[1:-2])


def _boxes(maps: Maps, places: Tensor, cells: Tensor) -> Tensor:
    limit = places.new_tensor(maps.centre.shape[-2:])
    half = _at(maps.size, cells).clamp_min(0) / 2  # (B, 6, 2)
    middle = places + _at(maps.shift, cells)
    return torch.cat([(middle + sign * half).clamp_min(0).minimum(limit) for sign in (-1, 1)], -1)


def _keypoints(maps: Maps, boxes: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """Each person's keypoints (B, 6, 17, 2) in cells: maximum heat in the box, near the expected position."""
    height, width = maps.heat.shape[-2:]
    y, x = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) for side in (height, width))
    top, left, bottom, right = (side[..., None] for side in boxes.unbind(-1))  # (B, 6, 1)
    inside = ((y >= top) & (y < bottom))[..., :, None] & ((x >= left) & (x < right))[..., None, :]  # (B, 6, h, w)
    squared = (y - expected[..., 0, None]).square()[..., :, None] + (x - expected[..., 1, None]).square()[..., None, :]
    near = torch.exp(-squared / (min(height, width) * SPREAD))  # (B, 6, 17, h, w)
    heat = (torch.sigmoid(maps.heat)[:, None] * near * inside[:, :, None]).flatten(-2)
    cells = heat.argmax(-1)  # (B, 6, 17)
    # The published graph takes the confidence from the maximum over all people, not from this person's heat.
    confidence = heat.amax(1).gather(2, cells.mT).mT
    index = cells.mT[:, :, None].expand(-1, -1, 2, -1)  # (B, 17, 2, 6)
    offset = maps.offset.flatten(-2).gather(3, index).permute(0, 3, 1, 2)  # (B, 6, 17, 2)
    rows, columns = cells.div(width, rounding_mode="floor"), cells % width
    return torch.stack([rows, columns], -1) + offset, confidence
