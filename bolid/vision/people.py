"""Detects the people in photos, and selects the person that a photo is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bolid.core.safe_io import PictureError
from bolid.vision.face import Embedder, alike_from
from bolid.vision.found import People

SIDE = 1280  # pixels; larger photos are reduced for the pose network
WORDS = ("only", "left", "right", "largest")
Choice = Literal["only", "left", "right", "largest"]
Whom = Choice | np.ndarray
MIN_SIDE = 32  # minimum pixels of a photo's shorter side and of a person's longer side
# Minimum score and visible points of a second person; thresholds of boxes (IoU) and points (share of the larger side)
# for duplicates, one person found at two input sizes.
SURELY, POINTS_OF_OTHERS, SAME_BOX, SAME_POINTS = 0.3, 5, 0.8, 0.05
MIN_POINTS = 3  # minimum visible keypoints of a person


class Estimator(Protocol):
    """Protocol of pose networks."""

    def people(self, pictures: Tensor) -> Sequence[People]:
        """All people in each of (B, 3, H, W) images in 0..1."""
        ...


class Person(NamedTuple):
    """A person in a photo: keypoints (17, 3) and box (4,) in its pixels, float32, and score."""

    keypoints: np.ndarray
    box: np.ndarray
    score: float = 1.0


class LeftOut(Exception):
    """A photo that is unusable for its person.

    Attributes:
        kind: Short reason, the same for all photos of the kind.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@torch.no_grad()
def everybody(pictures: Sequence[Image.Image], estimator: Estimator) -> list[list[Person]]:
    """The people of each photo by score; photos of equal size after reduction are batched."""
    small = [picture.copy() for picture in pictures]
    for picture in small:
        picture.thumbnail((SIDE, SIDE))
    found: list[list[Person]] = [[] for _ in pictures]
    for size in {picture.size for picture in small}:
        places = [k for k, picture in enumerate(small) if picture.size == size]
        pixels = torch.from_numpy(np.stack([np.array(small[k]) for k in places])).permute(0, 3, 1, 2) / 255
        for k, people in zip(places, estimator.people(pixels), strict=True):
            scale = np.array([pictures[k].width / size[0], pictures[k].height / size[1], 1], np.float32)
            parts = (part.float().cpu().numpy() for part in people)
            found[k] = [Person(p * scale, b * np.tile(scale[:2], 2), float(s)) for p, b, s in zip(*parts, strict=True)]
    return found


def find_person(
    picture: Image.Image, estimator: Estimator, name: str, whom: Whom = "only", embedder: Embedder | None = None
) -> Person:
    """Detects the people in a photo and selects one, see `choose`.

    Args:
        picture: The photo.
        estimator: Pose network.
        name: Name of the photo, for messages.
        whom: See `choose`.
        embedder: Face recogniser.

    Raises:
        PictureError: If it shows no person, or the selection is ambiguous.
    """
    try:
        return choose(everybody([picture], estimator)[0], picture, whom, embedder)
    except LeftOut as reason:
        raise PictureError(f"{name}: {reason}") from reason


def choose(
    people: Sequence[Person], picture: Image.Image, whom: Whom = "only", embedder: Embedder | None = None
) -> Person:
    """Selects the person that a photo is of.

    Args:
        people: All people in it, by score.
        picture: The photo.
        whom: only: refuses photos of several people; left, right, largest: the leftmost, rightmost or largest person;
            an embedding (F,): the person with the most similar face. People less than half as tall as the tallest are
            background, except for the selection by face.
        embedder: Face recogniser, for the selection by face.

    Raises:
        LeftOut: If there is no person, several, one that is too small, or no similar face.
    """
    if min(picture.size) < MIN_SIDE:
        raise LeftOut("too small", f"{picture.width}x{picture.height} pixels are too few for a person")
    people = [p for p in people if (p.keypoints[:, 2] > 0).sum() >= MIN_POINTS]
    if not people:
        raise LeftOut("nobody", "no person found")
    best = _by_face(people, picture, whom, embedder) if isinstance(whom, np.ndarray) else _by_place(people, whom)
    if max(best.box[2:] - best.box[:2]) < MIN_SIDE:
        raise LeftOut("too small", f"the person is less than {MIN_SIDE} pixels tall")
    return best


def _by_place(people: Sequence[Person], whom: str) -> Person:
    people = _in_front(people)
    if len(people) > 1 and whom == "only":
        raise LeftOut("several people", f"{len(people)} people; crop the photo to one of them")
    if whom in ("left", "right"):
        return sorted(people, key=lambda p: p.box[0] + p.box[2])[0 if whom == "left" else -1]
    return max(people, key=_area)


def _by_face(people: Sequence[Person], picture: Image.Image, face: np.ndarray, embedder: Embedder | None) -> Person:
    """The person with a similar face; a single person without a visible face is accepted."""
    assert embedder is not None
    rgb = np.asarray(picture)
    seen = [(p, embedder.embed(rgb, p.keypoints)) for p in _in_front(people, least=0.0)]
    alike = [(float(theirs @ face), p) for p, theirs in seen if theirs is not None]
    cosine, best = max(alike, key=lambda pair: pair[0], default=(-1.0, people[0]))
    limit = alike_from(len(face))
    if cosine >= limit:
        return best
    if not alike and len(_in_front(people)) == 1:
        return _in_front(people)[0]
    if not alike:
        raise LeftOut("several people", f"{len(seen)} people, and no usable face")
    raise LeftOut("somebody else", f"{len(seen)} people, and no face like the given one ({cosine:.2f} < {limit:.2f})")


def _in_front(people: Sequence[Person], least: float = 0.5) -> list[Person]:
    """People of at least a share of the tallest's height and the minimum score, without duplicates."""
    limit = least * max(p.box[3] - p.box[1] for p in people)
    kept: list[Person] = []
    for person in people:  # by score
        sure = person.score >= SURELY and (person.keypoints[:, 2] > 0).sum() >= POINTS_OF_OTHERS
        tall = person.box[3] - person.box[1] >= limit
        if not kept or (sure and tall and not any(same_person(person, other) for other in kept)):
            kept.append(person)
    return [p for p in kept if p.box[3] - p.box[1] >= limit] or kept[:1]


def same_person(one: Person, other: Person) -> bool:
    """Whether two detections are one person: their boxes agree, or their common visible points do."""
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
