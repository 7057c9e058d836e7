"""Filter of other people's photos in a person's folder, by the majority of faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.data.curate.filters.base import KEPT, UNKNOWN, Filter
from bolid.data.curate.photos import Photos
from bolid.vision.face import alike_from

TOGETHER = 20_000  # maximum photos with embeddings in memory, at least one person's


@dataclass
class Identity(Filter):
    """Clusters the faces of each person, and rejects those outside the largest cluster and dissimilar to it.

    The networks are those of the filter `people`. Photos without a usable face, and faces without a majority, are kept
    with a remark in the verdict.

    Attributes:
        alike: Minimum cosine of two faces of one person; null for the recogniser's default.
        faces: Minimum number of faces for a majority; with fewer, all are kept.
        unsure: Whether to reject all photos of a person without a cluster of half of the faces.
        unread: Whether to keep photos without a usable face.
        face_score: Minimum score of a usable face; heads from behind have low scores.
        pixels: Minimum height of a usable face; smaller ones are not distinctive.
        turned: Maximum turn to a side: 0 is frontal, 0.5 has the nose below one eye. Embeddings of profiles are
            unreliable.
    """

    alike: float | None = None
    faces: int = 3
    unsure: bool = True
    unread: bool = True
    face_score: float = 0.4
    pixels: int = 64
    turned: float = 0.5
    name = "identity"

    def survey(self, photos: Photos, alive: np.ndarray) -> None:
        """Compares the faces of each person."""
        self._asked = alive & photos.measured("people")
        self._clear = self.legible(photos) if self._asked.any() else self._asked
        self._cosine = np.full(len(photos), np.nan, np.float32)
        self._outside = np.zeros(len(photos), bool)
        self._split = np.zeros(len(photos), bool)
        self._few = np.zeros(len(photos), np.int32)
        self._limit = self.alike
        waiting: list[np.ndarray] = []
        for rows in photos.by_person(np.flatnonzero(self._asked)):
            waiting.append(rows)
            if sum(map(len, waiting)) >= TOGETHER:
                self._compare(photos, waiting)
                waiting = []
        if waiting:
            self._compare(photos, waiting)

    def judge(self, photos: Photos, k: int) -> str:
        """The verdict by the person's largest cluster of faces."""
        if not self._asked[k]:
            return UNKNOWN
        if not np.isfinite(self._cosine[k]):
            return f"{KEPT}: no face to compare" if self.unread else "no face to recognise"
        if self._few[k]:
            return f"{KEPT}: {self._few[k]} < {self.faces} faces to compare"
        if self._split[k]:
            return f"no majority: {self._cosine[k]:.2f} of the faces are of one person"
        return f"somebody else: {self._cosine[k]:.2f} < {self._limit:.2f}" if self._outside[k] else KEPT

    def legible(self, photos: Photos) -> np.ndarray:
        """(n,) bool: photos whose main face is frontal and large enough, as far as it was measured."""
        small = photos.numbers("people", "face_pixels") < self.pixels
        turned = photos.numbers("people", "face_turned") > self.turned
        scores = photos.arrow("people", "face_scores")
        unsure = [s.is_valid and len(s) > 0 and s[0].as_py() < self.face_score for s in scores]
        return ~small & ~turned & ~np.array(unsure, bool)

    def _compare(self, photos: Photos, people: list[np.ndarray]) -> None:
        faces = photos.vectors("people", "face", np.concatenate(people))
        for rows in people:
            with_face = np.array([k for k in rows if int(k) in faces and self._clear[k]], int)
            if len(with_face):
                self._judge_person(with_face, np.stack([faces[int(k)] for k in with_face]))

    def _judge_person(self, rows: np.ndarray, faces: np.ndarray) -> None:
        limit = self.alike if self.alike is not None else alike_from(faces.shape[1])
        self._limit = limit
        faces = faces / np.maximum(np.linalg.norm(faces, axis=1, keepdims=True), 1e-6)
        inside = majority(faces, limit)
        if len(rows) < self.faces:
            self._cosine[rows], self._few[rows] = 1.0, len(rows)
        elif self.unsure and 2 * inside.sum() < len(rows):
            self._cosine[rows], self._split[rows] = inside.mean(), True
        else:
            centre = faces[inside].mean(0)
            self._cosine[rows] = faces @ centre / np.linalg.norm(centre)
            self._outside[rows] = ~inside & (self._cosine[rows] < limit)


def majority(faces: np.ndarray, alike: float) -> np.ndarray:
    """(n,) bool: the members of the largest cluster of (n, F) embeddings of norm 1, by average linkage."""
    if len(faces) < 2:
        return np.ones(len(faces), bool)
    from sklearn.cluster import AgglomerativeClustering

    distances = np.clip(1 - faces @ faces.T, 0, 2)
    clusters = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - alike
    ).fit_predict(distances)
    return clusters == np.bincount(clusters).argmax()
