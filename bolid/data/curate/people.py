"""Measures people, faces, and the main person's face, by networks loaded in the reading processes."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bolid.core.keypoints import KEYPOINTS
from bolid.core.photos import open_photo
from bolid.data.curate.measure import Measure
from bolid.data.curate.networks import NO_FACES, FacesFound

VERSION = "people 2"  # increase it when the same photo and networks give other values
LIKELY = 0.3  # minimum score of a candidate person or face


class PeopleMeasure(Measure):
    """People and faces, the main person first; thresholds are for the filters to set.

    `person_heights` are shares of the photo's height, `face_heights` too; `confidences` are those of the main person's
    17 keypoints, of which a face shows the first three; `face` is the main face's embedding in float16, `face_pixels`
    its height and `face_turned` how far it is turned to a side, see `turned`, where a detector found it.

    Args:
        people: Network that detects people, see `bolid.data.curate.networks`.
        faces: Network that detects faces, or None.
        recogniser: Network that embeds the main person's face, or None.
    """

    name = "people"
    columns = {
        "person_scores": pa.list_(pa.float32()),
        "person_heights": pa.list_(pa.float32()),
        "face_scores": pa.list_(pa.float32()),
        "face_heights": pa.list_(pa.float32()),
        "confidences": pa.list_(pa.float32()),
        "height": pa.float32(),
        "face": pa.binary(),
        "face_pixels": pa.float32(),
        "face_turned": pa.float32(),
    }
    batch = 8

    def __init__(self, people: str, faces: str | None, recogniser: str | None) -> None:
        self.networks = {"people": people, "faces": faces, "recogniser": recogniser}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the version and the networks' weights."""
        from bolid.data.curate.networks import fingerprint

        prints = [fingerprint(role, name) for role, name in self.networks.items()]
        return hashlib.sha256(" ".join([VERSION, *prints]).encode()).hexdigest()

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        from bolid.data.curate.networks import load

        people, faces, recogniser = (load(role, name) for role, name in self.networks.items())
        return people, faces, recogniser

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_loaded"}

    def read(self, path: Path) -> dict[str, Any]:
        """The values of one photo."""
        find, find_faces, recognise = self._loaded
        rgb = np.asarray(open_photo(path))
        people = find(rgb)
        tall = np.array([p.box[3] - p.box[1] for p in people], float) / rgb.shape[0]
        order = main_first(tall, np.array([p.score for p in people]))
        faces = find_faces(rgb) if find_faces else NO_FACES
        face_tall = (faces.boxes[:, 3] - faces.boxes[:, 1]) / rgb.shape[0]
        face_order = main_first(face_tall, faces.scores)
        faces, face_tall = FacesFound(*(part[face_order] for part in faces)), face_tall[face_order]
        body = people[order[0]].keypoints if people else None
        looks = face_points(body, faces) if find_faces or body is None else [body]
        embeddings = (found for points in looks if (found := recognise(rgb, points)) is not None) if recognise else ()
        embedding = next(iter(embeddings), None)
        return {
            "person_scores": [people[k].score for k in order],
            "person_heights": tall[order].tolist(),
            "face_scores": faces.scores.tolist(),
            "face_heights": face_tall.tolist(),
            "confidences": confidences(body, faces).tolist(),
            "height": max([*tall[order[:1]], *face_tall[:1]], default=0.0),
            "face": None if embedding is None else embedding.astype(np.float16).tobytes(),
            "face_pixels": float(face_tall[0] * rgb.shape[0]) if len(face_tall) else None,
            "face_turned": turned(faces.keypoints[0]) if len(face_tall) else None,
        }


def main_first(heights: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The order of people or faces: the tallest of the likely ones first."""
    return np.argsort(-heights * (scores >= min(LIKELY, scores.max(initial=0))), kind="stable")


def face_points(body: np.ndarray | None, faces: FacesFound) -> list[np.ndarray]:
    """Candidate keypoints (17, 3) to align the first face by: the body's if it has the nose, then the face's."""
    if not len(faces.scores):
        return []  # pose networks also place eyes and nose on heads seen from behind
    own = [faces.keypoints[0]] if faces.keypoints[0].any() else []
    x0, y0, x1, y1 = faces.boxes[0]
    inside = body is not None and x0 <= body[0, 0] <= x1 and y0 <= body[0, 1] <= y1
    return [body, *own] if inside and body is not None else own


def turned(keypoints: np.ndarray) -> float | None:
    """How far a face with these keypoints (17, 3) is turned to a side: 0 where its nose is midway between the eyes, 0.5
    where it is below one of them; None of a face without keypoints."""
    nose, left, right = keypoints[:3, :2].astype(float)
    axis = left - right
    apart = float(np.linalg.norm(axis))
    return abs(float((nose - (left + right) / 2) @ axis)) / apart**2 if apart else None


def confidences(body: np.ndarray | None, faces: FacesFound) -> np.ndarray:
    """(17,) of the main person's keypoints; pose networks find no body if a face fills the photo."""
    found = np.zeros(KEYPOINTS) if body is None else body[:, 2].copy()
    if len(faces.scores):
        found[:3] = np.maximum(found[:3], faces.keypoints[0, :3, 2])
    return found
