"""BlazeFace: a face detector with six keypoints per face (Bazarevsky et al. 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from bolid.core.keypoints import KEYPOINTS
from bolid.vision.graph import load_network
from bolid.vision.ssd import SsdDetector

# Right eye, left eye, nose, mouth, right ear, left ear, from the person's perspective, by COCO index; COCO has no
# mouth.
POINTS = ("right_eye", "left_eye", "nose", "mouth", "right_ear", "left_ear")
COCO = {0: 2, 1: 1, 2: 0, 4: 4, 5: 3}
# Anchors per stride, and the minimum score of a candidate.
REACHES: dict[str, tuple[dict[int, int], float]] = {"short": ({8: 2, 16: 6}, 0.5), "full": ({4: 1}, 0.6)}


class Faces(NamedTuple):
    """The faces of an image, sorted by score.

    Attributes:
        boxes: (n, 4) float32 x0, y0, x1, y1 in pixels; they may extend beyond the image.
        points: (n, 6, 2) float32 x, y in pixels, in the order of `POINTS`.
        scores: (n,) float32 in 0..1.
    """

    boxes: np.ndarray
    points: np.ndarray
    scores: np.ndarray

    @property
    def keypoints(self) -> np.ndarray:
        """(n, 17, 3) COCO keypoints with those of the face, whose confidence is the face's score."""
        found = np.zeros((len(self.scores), KEYPOINTS, 3), np.float32)
        found[:, list(COCO.values()), :2] = self.points[:, list(COCO)]
        found[:, list(COCO.values()), 2] = self.scores[:, None]
        return found


class BlazeFace(SsdDetector):
    """A frozen face detector.

    Args:
        reach: `short` for large faces (input of 128 x 128 pixels), `full` for smaller ones, too (192 x 192).
        min_score: Minimum score; by default the authors' 0.5 (short) or 0.6 (full).
        weights: Converted weights; by default the fetched ones, `bolid networks get blazeface-short`.

    Raises:
        BolidError: If the weights are missing, or of another network.
    """

    def __init__(
        self, reach: Literal["short", "full"] = "short", min_score: float | None = None, weights: Path | None = None
    ) -> None:
        from bolid.vision.networks import network

        per_cell, usual = REACHES[reach]
        found = load_network(weights or network(f"blazeface-{reach}"), "detector")
        super().__init__(found, per_cell, usual if min_score is None else min_score)

    def detect(self, picture: np.ndarray) -> Faces:
        """The faces of an image, (H, W, 3) uint8 RGB."""
        found = self.find(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None])[0]
        return Faces(*(part.numpy() for part in found))
