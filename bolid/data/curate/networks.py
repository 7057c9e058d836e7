"""Networks that look for people and faces, by role and name, each behind one small function.

Roles: `people` (RGB -> keypoints, boxes, scores), `faces` (RGB -> boxes, scores), `recogniser` (RGB, keypoints ->
embedding). Weights are found, and hashed, without loading them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.safe_io import sha256

FETCHED = {
    "people": ("movenet",),
    "faces": ("blazeface-full", "blazeface-short"),
    "recogniser": ("dlib-face",),
}
EMBEDDED = {"people": "data/tiny/pose", "recogniser": "data/tiny/face/face.onnx"}  # for rendered people alone
FILES = {"people": "model.safetensors"}  # in a network's folder


def weights_of(role: str, name: str) -> Path:
    """The file of a network's weights.

    Args:
        role: See above.
        name: `embedded`, one of `FETCHED`, or a path.

    Raises:
        BolidError: If it is not there.
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
    """SHA-256 of a network's weights; empty where there is none."""
    return "" if name is None else sha256(weights_of(role, name))


def load(role: str, name: str | None) -> Callable[..., Any] | None:
    """The function of a network; None where none is asked for."""
    if name is None:
        return None
    makers: dict[str, Callable[[str, Path], Any]] = {"people": _people, "faces": _faces, "recogniser": _recogniser}
    return makers[role](name, weights_of(role, name))


def _people(name: str, weights: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """RGB (H, W, 3) uint8 -> keypoints (n, 17, 3), boxes (n, 4) in pixels, scores (n,)."""
    import torch

    if name == "movenet":
        from bolid.vision.movenet import MoveNet

        network: Any = MoveNet()
    else:
        from bolid.vision.pose import PoseEstimator

        network = PoseEstimator(weights.parent)

    def find(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        picture = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None] / 255
        with torch.inference_mode():
            found = network.people(picture)[0] if name == "movenet" else everybody(network.candidates(picture)[0])
        return tuple(part.float().numpy() for part in found)  # type: ignore[return-value]

    return find


def everybody(found: Any) -> tuple[Any, Any, Any]:
    """The people among a YOLO pose network's candidates (56, anchors): keypoints, boxes, scores, likeliest first."""
    from torchvision.ops import box_convert, nms

    sure = found[:, found[4] >= 0.25]
    boxes = box_convert(sure[:4].T, "cxcywh", "xyxy")
    kept = nms(boxes, sure[4], 0.5)
    return sure[5:].T.unflatten(1, (17, 3))[kept], boxes[kept], sure[4, kept]


def _faces(name: str, weights: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """RGB (H, W, 3) uint8 -> boxes (n, 4) in pixels, scores (n,)."""
    if name in FETCHED["faces"]:
        from bolid.vision.blazeface import BlazeFace

        network = BlazeFace("full" if name.endswith("full") else "short", 0.3)

        def find(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            found = network.detect(rgb)
            return found.boxes, found.scores

        return find
    from bolid.vision.yolo_face import YoloFace

    return YoloFace(weights).detect


def _recogniser(name: str, weights: Path) -> Callable[[np.ndarray, np.ndarray], np.ndarray | None]:
    """RGB (H, W, 3) uint8 and keypoints (17, 3) -> embedding (F,), or None."""
    from bolid.vision.load import face_recogniser

    return face_recogniser(name if name in FETCHED["recogniser"] else weights).embed
