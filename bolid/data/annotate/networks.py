"""The networks of annotation: by name, by path, or those of the embedded bundle."""

from __future__ import annotations

import hashlib
import inspect
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from bolid.core.paths import resolve
from bolid.core.safe_io import sha256
from bolid.vision.choice import Choice

if TYPE_CHECKING:
    from bolid.vision.face import Embedder
    from bolid.vision.people import Estimator


class Outliner(Protocol):
    """Protocol of `bolid.vision.silhouette.PersonSegmenter` and `bolid.vision.blazepose.BlazePose`."""

    def silhouette(self, picture: Image.Image) -> np.ndarray:
        """(H, W) uint8, 255 where the person is."""
        ...


class Networks:
    """The loaded networks, and the fingerprint of their findings.

    Args:
        estimator: Pose network.
        embedder: Face recogniser, or None.
        outliner: Segmentation network, or None.
        names: Identifier of networks without their own `fingerprint`.
    """

    def __init__(
        self, estimator: Estimator, embedder: Embedder | None, outliner: Outliner | None = None, names: str = ""
    ) -> None:
        self.estimator, self.embedder, self.outliner = estimator, embedder, outliner
        self.takes_keypoints = outliner is not None and "keypoints" in inspect.signature(outliner.silhouette).parameters
        parts = [names, *(str(getattr(part, "fingerprint", "")) for part in (estimator, embedder, outliner))]
        self.fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def face_model(self) -> str:
        """Fingerprint of the face recogniser."""
        return self.embedder.fingerprint if self.embedder else ""

    def outline(self, picture: Image.Image, keypoints: np.ndarray) -> np.ndarray:
        """The silhouette (H, W) uint8 of the person with these keypoints (17, 3)."""
        assert self.outliner is not None
        outliner: Any = self.outliner
        return outliner.silhouette(picture, keypoints) if self.takes_keypoints else outliner.silhouette(picture)


def load_networks(choice: Choice) -> Networks:
    """Loads the selected networks.

    Raises:
        BolidError: If a network is missing; the message says how to get it.
    """
    from bolid.vision.load import face_recogniser, pose_estimator

    estimator = pose_estimator(choice.pose)
    embedder = None if choice.face is None else face_recogniser(resolve(choice.face))
    outliner = None if choice.segmenter is None else _segmenter(choice.segmenter)
    for part in (estimator, embedder, outliner):
        if hasattr(part, "to") and choice.device != "cpu":
            part.to(choice.device)  # type: ignore[union-attr]
    return Networks(estimator, embedder, outliner, f"{_pose_print(choice.pose)}\0{choice.segmenter or ''}")


def _pose_print(name: str) -> str:
    """Identifier of a pose network without its own `fingerprint`."""
    from bolid.core.paths import find_folder
    from bolid.vision.load import FETCHED
    from bolid.vision.pose import WEIGHTS

    return name if name in FETCHED else sha256(find_folder(name, WEIGHTS, "") / WEIGHTS)


def _segmenter(name: str) -> Any:
    from bolid.vision.load import BLAZEPOSES, blazepose

    if name in BLAZEPOSES:
        return blazepose(name)
    from bolid.vision.silhouette import PersonSegmenter

    return PersonSegmenter(name)
