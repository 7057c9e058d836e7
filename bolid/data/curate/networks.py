"""Loads networks that detect people and faces, by role and name.

Roles: `people` (RGB -> people), `faces` (RGB -> `FacesFound`), `recogniser` (RGB, keypoints -> embedding).
Weights are located and hashed without loading them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.keypoints import KEYPOINTS
from bolid.core.paths import resolve
from bolid.core.safe_io import sha256

if TYPE_CHECKING:
    from bolid.vision.people import Person

LEAST_FACE = 0.3  # minimum score of recorded faces; filters set their own thresholds
FETCHED = {
    "people": ("movenet",),
    "faces": ("blazeface-full", "blazeface-short"),
    "recogniser": ("dlib-face",),
}
EMBEDDED = {"people": "data/tiny/pose", "recogniser": "data/tiny/face/face.onnx"}  # for rendered people only
FILES = {"people": "model.safetensors"}  # in a network's folder


class FacesFound(NamedTuple):
    """The faces of a photo, by score.

    Attributes:
        boxes: (n, 4) x0, y0, x1, y1 in pixels.
        scores: (n,) in 0..1.
        keypoints: (n, 17, 3) COCO keypoints of the face; zeros if the network gives boxes only.
    """

    boxes: np.ndarray
    scores: np.ndarray
    keypoints: np.ndarray


NO_FACES = FacesFound(np.zeros((0, 4)), np.zeros(0), np.zeros((0, KEYPOINTS, 3)))


def weights_of(role: str, name: str) -> Path:
    """The file of a network's weights.

    Args:
        role: See above.
        name: `embedded`, one of `FETCHED`, or a path.

    Raises:
        BolidError: If it is missing.
    """
    if name in FETCHED[role]:
        from bolid.vision.networks import network

        return network(name)
    if name == "embedded" and role not in EMBEDDED:
        raise BolidError(f"there is no embedded network for {role}; give another, or null")
    path = resolve(EMBEDDED[role] if name == "embedded" else name)
    path = path / FILES.get(role, "") if path.is_dir() else path
    if path.is_dir() and (found := sorted(path.glob("w*.onnx")) or sorted(path.glob("*.onnx"))):
        return found[-1]
    if not path.is_file():
        known = ", ".join([*FETCHED[role], *(["embedded"] if role in EMBEDDED else [])])
        raise BolidError(f"{path}: no network for {role} here; known are {known}, or give a path")
    return path


def fingerprint(role: str, name: str | None) -> str:
    """SHA-256 of a network's weights; empty if there is none."""
    return "" if name is None else sha256(weights_of(role, name))


def load(role: str, name: str | None) -> Callable[..., Any] | None:
    """The function of a network; None if `name` is."""
    if name is None:
        return None
    makers: dict[str, Callable[[str, Path], Any]] = {"people": _people, "faces": _faces, "recogniser": _recogniser}
    return makers[role](name, weights_of(role, name))


def _people(name: str, weights: Path) -> Callable[[np.ndarray], list[Person]]:
    """RGB (H, W, 3) uint8 -> the people, as in `bolid data annotate`, without duplicates, by score."""
    from PIL import Image

    from bolid.vision.load import pose_estimator
    from bolid.vision.people import everybody, same_person

    estimator = pose_estimator(name if name in FETCHED["people"] else weights.parent)

    def find(rgb: np.ndarray) -> list[Person]:
        kept: list[Person] = []
        for person in everybody([Image.fromarray(rgb)], estimator)[0]:
            if not any(same_person(person, other) for other in kept):
                kept.append(person)
        return kept

    return find


def _faces(name: str, weights: Path) -> Callable[[np.ndarray], FacesFound]:
    """RGB (H, W, 3) uint8 -> the faces."""
    if name in FETCHED["faces"]:
        from bolid.vision.blazeface import BlazeFace

        network = BlazeFace("full" if name.endswith("full") else "short", LEAST_FACE)

        def find(rgb: np.ndarray) -> FacesFound:
            found = network.detect(rgb)
            return FacesFound(found.boxes, found.scores, found.keypoints)

        return find
    from bolid.vision.yolo_face import YoloFace

    yolo = YoloFace(weights, LEAST_FACE)

    def detect(rgb: np.ndarray) -> FacesFound:
        boxes, scores = yolo.detect(rgb)
        return FacesFound(boxes, scores, np.zeros((len(scores), KEYPOINTS, 3), np.float32))

    return detect


def _recogniser(name: str, weights: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray | None]:
    """RGB (H, W, 3) uint8 and keypoints (17, 3) -> embedding (F,), or None."""
    from bolid.vision.load import face_recogniser

    return face_recogniser(name if name in FETCHED["recogniser"] else weights).embed
