"""Outputs of pose networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Pose(NamedTuple):
    """One person per image.

    Attributes:
        keypoints: (B, 17, 3) x, y in pixels of the image, confidence in 0..1.
        box: (B, 4) x0, y0, x1, y1 in pixels.
        score: (B,) confidence that this is a person, 0..1.
        others: (B,) int64, number of further people at least half as tall; None if not counted.
    """

    keypoints: Tensor
    box: Tensor
    score: Tensor
    others: Tensor | None = None


class People(NamedTuple):
    """The people of one image, sorted by score.

    Attributes:
        keypoints: (n, 17, 3) x, y in pixels of the image, confidence in 0..1; all 0 where undetected.
        boxes: (n, 4) x0, y0, x1, y1 in pixels.
        scores: (n,) in 0..1.
    """

    keypoints: Tensor
    boxes: Tensor
    scores: Tensor


def first_of(everybody: Sequence[People], pictures: Tensor, sure: float, count_others: bool) -> Pose:
    """The first person of each image, zeros if there is none.

    Args:
        everybody: People of each image.
        pictures: (B, 3, H, W), which give the device of the result.
        sure: Minimum score of a further person, who must be at least half as tall.
        count_others: Whether to count further people.
    """
    no_person = People(torch.zeros(1, 17, 3), torch.zeros(1, 4), torch.zeros(1))
    first = [people if len(people.scores) else no_person for people in everybody]
    columns = zip(*first, strict=True)
    points, box, score = (torch.stack([part[0].to(pictures.device) for part in parts]).float() for parts in columns)
    boxes = (people.boxes[people.scores >= sure] for people in everybody)
    tall = [box[:, 3] - box[:, 1] for box in boxes]
    further = torch.tensor([int((t[1:] >= t[:1] / 2).sum()) for t in tall], device=pictures.device)
    return Pose(points, box, score, further if count_others else None)
