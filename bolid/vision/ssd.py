"""MediaPipe's single-shot detectors: anchors, decoding, and weighted non-maximum suppression.

After the public description of its calculators (SsdAnchors, TensorsToDetections, NonMaxSuppression with WEIGHTED):
https://github.com/google-ai-edge/mediapipe, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

from bolid.vision.base import Frozen
from bolid.vision.graph import GraphNetwork

SAME = 0.3  # IoU above which two candidates are duplicates
LOGIT = 100.0  # clamp of a score's logit


class Detections(NamedTuple):
    """Detections in one image, by score.

    Attributes:
        boxes: (n, 4) x0, y0, x1, y1 in pixels of the image; they may extend beyond it.
        points: (n, K, 2) x, y in pixels.
        scores: (n,) in 0..1.
    """

    boxes: Tensor
    points: Tensor
    scores: Tensor


def anchor_centres(side: int, per_cell: Mapping[int, int]) -> Tensor:
    """Centres of all anchors as shares of a square image, (A, 2) x, y, row by row.

    Args:
        side: Side of the image in pixels.
        per_cell: Stride in pixels -> number of anchors per cell of that grid, in the network's order.
    """
    found = []
    for stride, count in per_cell.items():
        line = (torch.arange(side // stride) + 0.5) / (side // stride)
        y, x = torch.meshgrid(line, line, indexing="ij")
        found.append(torch.stack([x, y], -1).flatten(0, 1).repeat_interleave(count, 0))
    return torch.cat(found)


def decode(raw: Tensor, anchors: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Boxes (A, 4) and points (A, K, 2) in pixels of the network's image.

    Args:
        raw: (A, 4 + 2K) centre, width, height and points in pixels, centre and points relative to the anchor's centre.
        anchors: (A, 2) as shares of the image.
        side: Side of the image in pixels.
    """
    base = anchors * side
    centre, extent = raw[:, :2] + base, raw[:, 2:4]
    return torch.cat([centre - extent / 2, centre + extent / 2], 1), raw[:, 4:].unflatten(1, (-1, 2)) + base[:, None]


def suppress(found: Detections) -> Detections:
    """Weighted non-maximum suppression: each group of overlapping candidates becomes its score-weighted mean."""
    order = found.scores.argsort(descending=True, stable=True)
    boxes, points, scores = (values[order] for values in found)
    overlap = box_iou(boxes, boxes)
    left, kept = torch.ones(len(scores), dtype=torch.bool), []
    for first in range(len(scores)):
        if left[first]:
            group = left & (overlap[first] > SAME)
            group[first] = True  # also for a box without area
            left &= ~group
            share = scores[group] / scores[group].sum()
            box, place = (boxes[group] * share[:, None]).sum(0), (points[group] * share[:, None, None]).sum(0)
            kept.append((box, place, scores[first]))
    if not kept:
        return Detections(boxes, points, scores)
    return Detections(*(torch.stack(column) for column in zip(*kept, strict=True)))


class SsdDetector(Frozen):
    """A detector on letterboxed square images in -1..1 with black borders.

    Args:
        network: Network with outputs (B, A, 4 + 2K), boxes and points, and (B, A, 1), logits of scores.
        per_cell: See `anchor_centres`.
        min_score: Minimum score of a candidate.
    """

    def __init__(self, network: GraphNetwork, per_cell: Mapping[int, int], min_score: float = 0.5) -> None:
        super().__init__(network)
        self.side, self.min_score = network.layout.size[0], min_score
        self.anchors = anchor_centres(self.side, per_cell)

    @torch.no_grad()
    def find(self, pictures: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) images, uint8 or in 0..1; on the CPU, without gradients."""
        boxed, scale, offset = letterbox(pictures, self.side)
        place = next(self.network.parameters())
        raw, logits = (out.float().cpu() for out in self.network(boxed.to(place) * 2 - 1))
        scores = logits[..., 0].clamp(-LOGIT, LOGIT).sigmoid()  # (B, A)
        found = []
        for answer, sure in zip(raw, scores, strict=True):
            seen = sure >= self.min_score
            boxes, points = decode(answer[seen], self.anchors[seen], self.side)
            kept = suppress(Detections(boxes, points, sure[seen]))
            boxes = (kept.boxes - offset.repeat(2)) / scale.repeat(2)
            found.append(Detections(boxes, (kept.points - offset) / scale, kept.scores))
        return found


def letterbox(pictures: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Letterboxes (B, 3, H, W) images, uint8 or in 0..1, into a black square.

    Returns:
        (B, 3, side, side) in 0..1, and the scale (2,) and offset (2,) x, y from the image to the square.
    """
    height, width = pictures.shape[-2:]
    ratio = side / max(height, width)
    inner = max(1, round(height * ratio)), max(1, round(width * ratio))
    sized = to_unit(F.interpolate(pictures, inner, mode="bilinear", antialias=ratio < 1, align_corners=False))
    top, left = (side - inner[0]) // 2, (side - inner[1]) // 2
    boxed = F.pad(sized, [left, side - inner[1] - left, top, side - inner[0] - top])
    return boxed, torch.tensor([inner[1] / width, inner[0] / height]), torch.tensor([float(left), float(top)])


def to_unit(pictures: Tensor) -> Tensor:
    """uint8 images to 0..1; others unchanged."""
    return pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures
