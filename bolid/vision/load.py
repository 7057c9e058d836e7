"""Loads networks by name, for fetched ones, or by file or folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bolid.core.paths import resolve
from bolid.vision.face import MIN_FACE, FaceEmbedder, Recogniser
from bolid.vision.people import Estimator
from bolid.vision.pose import PoseEstimator

if TYPE_CHECKING:
    from bolid.vision.blazepose import BlazePose

BLAZEPOSES: dict[str, Literal["full", "heavy"]] = {"blazepose": "full", "blazepose-heavy": "heavy"}

BOTH = "movenet+blazepose"
FETCHED = ("movenet", BOTH, *BLAZEPOSES)  # pose networks by name


def face_recogniser(name: str | Path, min_face: float = MIN_FACE) -> Recogniser:
    """The recogniser called `dlib-face`, or that of an ONNX file or folder.

    Args:
        name: Name or path of the network.
        min_face: Minimum size of a face in pixels of the photo.

    Raises:
        BolidError: If it is missing.
    """
    if str(name) == "dlib-face":
        from bolid.vision.dlib_face import DlibFace

        return DlibFace(min_face=min_face)
    return FaceEmbedder(Path(name), min_face)


def pose_estimator(name: str | Path) -> Estimator:
    """The pose network called `movenet`, `movenet+blazepose`, `blazepose` or `blazepose-heavy`, or that of a folder.

    Raises:
        BolidError: If it is missing.
    """
    if str(name) in ("movenet", BOTH):
        from bolid.vision.movenet import MoveNet
        from bolid.vision.second_opinion import SecondOpinion

        return MoveNet() if str(name) == "movenet" else SecondOpinion(MoveNet(), blazepose("blazepose"))
    if str(name) in BLAZEPOSES:
        return blazepose(str(name))
    return PoseEstimator(resolve(name))


def blazepose(name: str) -> BlazePose:
    """BlazePose by one of its names.

    Raises:
        BolidError: If it is missing.
    """
    from bolid.vision.blazepose import BlazePose

    return BlazePose(BLAZEPOSES[name])
