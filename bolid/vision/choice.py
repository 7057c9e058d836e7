"""Which networks look at photos: those for photographs, those for rendered people, or a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bolid.core.errors import BolidError
from bolid.core.paths import BUNDLE, resolve
from bolid.core.photos import is_rendered
from bolid.core.safe_io import sha256

EMBEDDED = {"pose": "data/tiny/pose", "face": "data/tiny/face/face.onnx", "segmenter": None}
PHOTOGRAPHS = {"pose": "movenet+blazepose", "face": "dlib-face", "segmenter": "blazepose"}
ENCODERS = {True: "data/tiny/body_vae", False: "data/tiny/body_vae_photos"}  # of bodies, by whether photos are rendered
Kind = Literal["auto", "photographs", "embedded"]


@dataclass(frozen=True)
class Choice:
    """Which networks look at photos.

    Attributes:
        pose: Finds people and keypoints, see `bolid.vision.load.pose_estimator`.
        face: Recognises faces: dlib-face, or an ONNX file; None for no faces.
        segmenter: Finds silhouettes: blazepose, or folder or hub id of a segmentation network; None for none.
        embedded: Whether `--networks embedded` was asked for, whose networks know rendered people alone.
        device: Where they run.
    """

    pose: str
    face: str | None
    segmenter: str | None = None
    embedded: bool = False
    device: str = "cpu"

    @property
    def rendered_only(self) -> list[str]:
        """The networks among these that know rendered people alone."""
        return [name for name in (self.pose, self.face) if name and is_embedded(name)]

    @property
    def refused(self) -> list[str]:
        """The networks that may look at rendered photos alone: nobody asked for them by `--networks embedded`."""
        return [] if self.embedded else self.rendered_only


def choose_networks(kind: Kind, rendered: bool, given: Mapping[str, str | Path | None], device: str = "cpu") -> Choice:
    """The networks to look at photos with.

    Args:
        kind: auto: the embedded ones where all photos are `rendered`, else those for photographs.
        rendered: Whether all photos are marked as rendered.
        given: Names or paths that the user gives in place of the defaults; "none" for none.
        device: Where they run.
    """
    embedded = kind == "embedded"
    names = (EMBEDDED if embedded or (kind == "auto" and rendered) else PHOTOGRAPHS) | {
        k: v for k, v in given.items() if v is not None
    }
    chosen = {k: None if v in (None, "none") else str(v) for k, v in names.items()}
    if chosen["pose"] is None:
        raise BolidError("pose: somebody must find the people; give movenet, blazepose, or a folder")
    return Choice(chosen["pose"], chosen["face"], chosen["segmenter"], embedded, device)


def choose_for(
    photos: Sequence[str | Path], kind: Kind = "auto", pose: str | Path | None = None, face: str | Path | None = None
) -> Choice:
    """The networks that find people and faces in some photos, by the mark that rendered ones carry."""
    rendered = bool(photos) and all(is_rendered(Path(photo)) for photo in photos)
    return choose_networks(kind, rendered, {"pose": pose, "face": face})


def is_embedded(name: str | Path) -> bool:
    """Whether a network is one of the embedded bundle."""
    path = Path(name)
    return path.is_relative_to(BUNDLE) or resolve(BUNDLE).resolve() in path.resolve().parents


def refusal(photo: str, networks: Sequence[str]) -> str:
    """Why networks of the embedded bundle do not look at a photo."""
    verb = "knows" if len(networks) == 1 else "know"
    return f"{photo}: {' and '.join(networks)} {verb} rendered people alone; see --networks"


def recogniser_of(fingerprint: str) -> str | None:
    """The face recogniser with a fingerprint, if it is one of those that are known by name and here."""
    from bolid.vision.networks import network

    for name in (PHOTOGRAPHS["face"], EMBEDDED["face"]):
        try:
            path = resolve(str(name)) if is_embedded(str(name)) else network(str(name))
            if path.is_file() and sha256(path) == fingerprint:
                return name
        except BolidError:  # it was not fetched
            continue
    return None
