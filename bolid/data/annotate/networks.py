"""The networks that annotate: by name, by path, or those of the embedded bundle."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.paths import BUNDLE, resolve
from bolid.core.safe_io import sha256
from bolid.data.annotate.faces import Embedder

if TYPE_CHECKING:
    from bolid.vision.person import Estimator

EMBEDDED = {"pose": "data/tiny/pose", "face": "data/tiny/face/face.onnx", "segmenter": None}
PHOTOGRAPHS = {"pose": "movenet", "face": "dlib-face", "segmenter": "blazepose"}
FETCHED = ("movenet", "blazepose", "blazepose-heavy")
Kind = Literal["auto", "photographs", "embedded"]


class Outliner(Protocol):
    """What `bolid.vision.silhouette.PersonSegmenter` and `bolid.vision.blazepose.BlazePose` offer."""

    def silhouette(self, picture: Image.Image) -> np.ndarray:
        """(H, W) uint8, 255 where the person is."""
        ...


@dataclass(frozen=True)
class Choice:
    """Which networks annotate.

    Attributes:
        pose: Finds people and keypoints: movenet, blazepose, or the folder of a YOLO pose network.
        face: Recognises faces: dlib-face, or an ONNX file; None for no faces.
        segmenter: Finds silhouettes: blazepose, or folder or hub id of a segmentation network; None for none.
        embedded: Whether the bundle's networks were asked for, which know rendered people alone.
        device: Where they run.
    """

    pose: str
    face: str | None
    segmenter: str | None
    embedded: bool = False
    device: str = "cpu"

    @property
    def rendered_only(self) -> list[str]:
        """The networks among these that know rendered people alone."""
        return [name for name in (self.pose, self.face) if name and is_embedded(name)]


def choose_networks(kind: Kind, rendered: bool, given: dict[str, str | None], device: str = "cpu") -> Choice:
    """The networks to annotate with.

    Args:
        kind: auto: the embedded ones where all photos are `rendered`, else those for photographs.
        rendered: Whether all photos are marked as rendered.
        given: Names or paths that the user gives in place of the defaults; "none" for none.
        device: Where they run.
    """
    embedded = kind == "embedded" or (kind == "auto" and rendered)
    names = (EMBEDDED if embedded else PHOTOGRAPHS) | {k: v for k, v in given.items() if v is not None}
    chosen = {k: None if v in (None, "none") else str(v) for k, v in names.items()}
    if chosen["pose"] is None:
        raise BolidError("pose: somebody must find the people; give movenet, blazepose, or a folder")
    return Choice(chosen["pose"], chosen["face"], chosen["segmenter"], embedded, device)


def is_embedded(name: str) -> bool:
    """Whether a network is one of the embedded bundle."""
    path = Path(name)
    return path.is_relative_to(BUNDLE) or resolve(BUNDLE).resolve() in path.resolve().parents


class Networks:
    """Networks ready to annotate, and the fingerprint under which their findings are kept.

    Args:
        estimator: Finds people.
        embedder: Embeds faces, or None.
        outliner: Finds silhouettes, or None.
        names: What tells them from others, where they have no `fingerprint` of their own.
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
    """Loads what was chosen.

    Raises:
        BolidError: If a network is not there; the message says how to get it.
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
    """What tells a pose network from others, where it has no `fingerprint` of its own."""
    from bolid.core.paths import find_folder
    from bolid.vision.pose import WEIGHTS

    return name if name in FETCHED else sha256(find_folder(name, WEIGHTS, "") / WEIGHTS)


def _segmenter(name: str) -> Any:
    from bolid.vision.load import BLAZEPOSES, blazepose

    if name in BLAZEPOSES:
        return blazepose(name)
    from bolid.vision.silhouette import PersonSegmenter

    return PersonSegmenter(name)
