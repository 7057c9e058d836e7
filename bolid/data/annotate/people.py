"""Whom a photo is of: everybody whom a pose network finds, and the one who is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_convert, nms

from bolid.vision.person import SIDE, Estimator
from bolid.vision.pose import SURE

Choice = Literal["only", "left", "largest"]
MIN_SIDE = 32  # pixels of a photo's shorter side and of a person's longer one; below, nothing can be recognised
# A second person counts who is so sure and shows so many points; findings with boxes (share of the union) or points
# (share of the larger side) so close are one person's, whom a network found at two sizes.
SURELY, POINTS_OF_OTHERS, SAME_BOX, SAME_POINTS = 0.3, 5, 0.8, 0.05
MIN_POINTS = 3  # keypoints; with fewer it is nobody


class Person(NamedTuple):
    """Somebody in a photo: keypoints (17, 3) and box (4,) in its pixels, float32, and how surely it is a person."""

    keypoints: np.ndarray
    box: np.ndarray
    score: float = 1.0


class LeftOut(Exception):
    """A photo that is no example of its person.

    Attributes:
        kind: In a few words, the same for all photos of the kind.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def everybody(pictures: Sequence[Image.Image], estimator: Estimator) -> list[list[Person]]:
    """The people of each photo, the surest first; photos that are of one size when shrunk go together."""
    small = [picture.copy() for picture in pictures]
    for picture in small:
        picture.thumbnail((SIDE, SIDE))
    found: list[list[Person]] = [[] for _ in pictures]
    for size in {picture.size for picture in small}:
        places = [k for k, picture in enumerate(small) if picture.size == size]
        pixels = torch.from_numpy(np.stack([np.array(small[k]) for k in places])).permute(0, 3, 1, 2) / 255
        for k, people in zip(places, _look(pixels, estimator), strict=True):
            scale = np.array([pictures[k].width / size[0], pictures[k].height / size[1], 1], np.float32)
            found[k] = [Person(p * scale, b * np.tile(scale[:2], 2), float(s)) for p, b, s in zip(*people, strict=True)]
    return found


@torch.no_grad()
def _look(pictures: Tensor, estimator: Estimator) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Keypoints (n, 17, 3), boxes (n, 4) and scores (n,) of the people of each picture."""
    if hasattr(estimator, "people"):
        found = estimator.people(pictures)
        return [tuple(part.float().cpu().numpy() for part in (p.keypoints, p.boxes, p.scores)) for p in found]  # type: ignore[misc]
    if hasattr(estimator, "candidates"):
        return [_distinct(c, estimator, pictures.shape[-2:]) for c in estimator.candidates(pictures).mT]
    pose = estimator.estimate(pictures, count_others=True)
    others = torch.zeros(len(pictures)) if pose.others is None else pose.others
    counts = ((others + 1) * (pose.score > 0)).int().tolist()  # of the others it is known only that they are there
    return [
        (np.repeat(points[None], count, 0), np.repeat(box[None], count, 0), np.ones(count))
        for points, box, count in zip(pose.keypoints.cpu().numpy(), pose.box.cpu().numpy(), counts, strict=True)
    ]


def _distinct(found: Tensor, estimator: Estimator, size: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """People among a YOLO network's candidates (anchors, 56), as `bolid.vision.pose.others` counts them."""
    least = getattr(estimator, "min_score", SURE)
    found = found[found[:, 4] >= least]
    found = found[found[:, 4].argsort(descending=True)]
    corners = box_convert(found[:, :4], "cxcywh", "xyxy")
    kept = [k for rank, k in enumerate(nms(corners, found[:, 4], 0.5).tolist()) if rank == 0 or found[k, 4] >= SURE]
    points = found[kept, 5:].unflatten(1, (17, 3)).float()
    limit = points.new_tensor([size[1], size[0]])
    seen = ((points[..., :2] >= 0) & (points[..., :2] < limit)).all(-1) & (points[..., 2] >= 0.1)
    points = torch.where(seen[..., None], points, 0.0)
    boxes = corners[kept].float().clamp_min(0).minimum(limit.repeat(2))
    return points.cpu().numpy(), boxes.cpu().numpy(), found[kept, 4].float().cpu().numpy()


def choose(people: Sequence[Person], size: tuple[int, int], choice: Choice = "only") -> Person:
    """The person a photo is of.

    Args:
        people: Everybody in it, the surest first.
        size: Width and height of the photo.
        choice: only: a photo of several people is refused; left, largest: who is furthest to the left, or the largest.
            People less than half as tall as the tallest are background.

    Raises:
        LeftOut: If there is nobody, several, or too small a person.
    """
    if min(size) < MIN_SIDE:
        raise LeftOut("too small", f"{size[0]}x{size[1]} pixels are too few for a person")
    people = [p for p in people if (p.keypoints[:, 2] > 0).sum() >= MIN_POINTS]
    if not people:
        raise LeftOut("nobody", "no person found")
    people = _in_front(people)
    if len(people) > 1 and choice == "only":
        raise LeftOut(
            "several people", f"{len(people)} people; crop it, or say who is meant by --person left or largest"
        )
    best = min(people, key=lambda p: p.box[0] + p.box[2]) if choice == "left" else max(people, key=_area)
    if max(best.box[2:] - best.box[:2]) < MIN_SIDE:
        raise LeftOut("too small", f"the person is less than {MIN_SIDE} pixels tall")
    return best


def _in_front(people: Sequence[Person]) -> list[Person]:
    """People without the background's: those half as tall as the tallest, seen surely enough, each once."""
    tallest = max(p.box[3] - p.box[1] for p in people)
    kept: list[Person] = []
    for person in people:  # the surest first
        sure = person.score >= SURELY and (person.keypoints[:, 2] > 0).sum() >= POINTS_OF_OTHERS
        tall = person.box[3] - person.box[1] >= tallest / 2
        if not kept or (sure and tall and not any(same_person(person, other) for other in kept)):
            kept.append(person)
    return [p for p in kept if p.box[3] - p.box[1] >= tallest / 2] or kept[:1]


def same_person(one: Person, other: Person) -> bool:
    """Whether two findings are one person: their boxes agree, or the points that both show do."""
    low, high = np.maximum(one.box[:2], other.box[:2]), np.minimum(one.box[2:], other.box[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    if shared > SAME_BOX * (_area(one) + _area(other) - shared):
        return True
    both = (one.keypoints[:, 2] > 0) & (other.keypoints[:, 2] > 0)
    if both.sum() < MIN_POINTS:
        return False
    apart = np.linalg.norm(one.keypoints[both, :2] - other.keypoints[both, :2], axis=1).mean()
    return bool(apart < SAME_POINTS * max(np.max(p.box[2:] - p.box[:2]) for p in (one, other)))


def _area(person: Person) -> float:
    return float(np.prod(person.box[2:] - person.box[:2]))
