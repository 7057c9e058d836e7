"""A YOLO face detector exported to ONNX, such as the paper's YOLO11n-face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bolid.core.errors import BolidError

SIZE = 640
GREY = 114  # padding of YOLO networks


class YoloFace:
    """Runs by OpenCV, which loads an ONNX graph without executing code from it.

    Export once, where ultralytics is: `yolo export model=yolo11n-face.pt format=onnx imgsz=640`.

    Args:
        weights: The .onnx file: one image (1, 3, 640, 640) in 0..1 -> (1, 5, anchors): box and score.
        min_score: Minimum score of a face.

    Raises:
        BolidError: If it is unreadable.
    """

    def __init__(self, weights: Path, min_score: float = 0.3) -> None:
        import cv2

        try:
            self.network: Any = cv2.dnn.readNetFromONNX(str(weights))
        except cv2.error as error:
            raise BolidError(f"{weights}: not a readable ONNX network ({str(error).splitlines()[0][:80]})") from error
        self.weights, self.min_score = weights, min_score

    def detect(self, rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 4) x0, y0, x1, y1 in pixels of (H, W, 3) uint8, and scores (n,), sorted by score.

        Raises:
            BolidError: If the network is no face detector.
        """
        import cv2

        boxed, scale = letterbox(rgb)
        self.network.setInput(cv2.dnn.blobFromImage(boxed, 1 / 255))
        found = np.squeeze(self.network.forward())
        if found.ndim != 2 or found.shape[0] != 5:
            raise BolidError(f"{self.weights}: gives {found.shape}, not the five rows of a face detector")
        found = found[:, found[4] >= self.min_score]
        corner, extent = (found[:2] - found[2:4] / 2) / scale, found[2:4] / scale
        kept = np.array(
            cv2.dnn.NMSBoxes(np.concatenate([corner, extent]).T.tolist(), found[4].tolist(), self.min_score, 0.5), int
        ).ravel()
        return np.concatenate([corner, corner + extent]).T[kept].reshape(-1, 4), found[4, kept]


def letterbox(rgb: np.ndarray) -> tuple[np.ndarray, float]:
    """The image in the top left corner of a grey square, and its scale."""
    import cv2

    scale = SIZE / max(rgb.shape[:2])
    size = [max(1, round(side * scale)) for side in rgb.shape[1::-1]]
    boxed = np.full((SIZE, SIZE, 3), GREY, np.uint8)
    boxed[: size[1], : size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return boxed, scale
