"""Who is in a photo, by networks that are loaded where photos are read: people, faces, and the main person's face."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bolid.core.photos import open_photo
from bolid.data.curate.measure import Measure

VERSION = "people 1"  # raise the number when the same photo and networks would give other values


class PeopleMeasure(Measure):
    """People and faces, the main person first; thresholds are for the filters to set.

    `person_heights` are shares of the photo's height, `face_heights` too; `confidences` are those of the main person's
    17 keypoints; `face` is the face's embedding in float16.

    Args:
        people: Network that finds people, see `bolid.data.curate.networks`.
        faces: Network that finds faces, or None.
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
    }
    batch = 8

    def __init__(self, people: str, faces: str | None, recogniser: str | None) -> None:
        self.networks = {"people": people, "faces": faces, "recogniser": recogniser}

    @cached_property
    def fingerprint(self) -> str:
        """Of the version and the networks' weights."""
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
        """Looks at one photo."""
        find, find_faces, recognise = self._loaded
        rgb = np.asarray(open_photo(path))
        keypoints, boxes, scores = find(rgb)
        heights = (boxes[:, 3] - boxes[:, 1]) / rgb.shape[0]
        order = np.argsort(-heights * (scores >= min(0.3, scores.max(initial=0))), kind="stable")
        keypoints, heights, scores = keypoints[order], heights[order], scores[order]
        faces, face_scores = find_faces(rgb) if find_faces else (np.zeros((0, 4)), np.zeros(0))
        embedding = recognise(rgb, keypoints[0]) if recognise and len(keypoints) else None
        return {
            "person_scores": scores.tolist(),
            "person_heights": heights.tolist(),
            "face_scores": face_scores.tolist(),
            "face_heights": ((faces[:, 3] - faces[:, 1]) / rgb.shape[0]).tolist(),
            "confidences": keypoints[0, :, 2].tolist() if len(keypoints) else [],
            "height": float(heights[0]) if len(heights) else 0.0,
            "face": None if embedding is None else embedding.astype(np.float16).tobytes(),
        }
