"""Selects the vision networks for photos: those for photographs, for rendered people, or the user's own."""

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
EMBEDDED |= {"encoder": "data/tiny/body_vae"}
PHOTOGRAPHS = {"pose": "movenet+blazepose", "face": "dlib-face", "segmenter": "blazepose"}
PHOTOGRAPHS |= {"encoder": "data/tiny/body_vae_photos"}
Kind = Literal["auto", "photographs", "embedded"]


@dataclass(frozen=True)
class Choice:
    """A selection of vision networks.

    Attributes:
        pose: Pose network, see `bolid.vision.load.pose_estimator`.
        face: Face recogniser: dlib-face, or an ONNX file; None for no faces.
        segmenter: Segmentation: blazepose, or folder or hub id of a segmentation network; None for none.
        encoder: Body encoder.
        embedded: Whether `--networks embedded` was given, which allows networks for rendered people on photographs.
        device: Device.
    """

    pose: str
    face: str | None
    segmenter: str | None = None
    encoder: str = ""
    embedded: bool = False
    device: str = "cpu"

    @property
    def rendered_only(self) -> list[str]:
        """The networks among these that are for rendered people only."""
        return [name for name in (self.pose, self.face) if name and is_embedded(name)]

    @property
    def refused(self) -> list[str]:
        """The networks that refuse photographs: those for rendered people, unless `--networks embedded` was given."""
        return [] if self.embedded else self.rendered_only


def choose_networks(kind: Kind, rendered: bool, given: Mapping[str, str | Path | None], device: str = "cpu") -> Choice:
    """Selects the networks for photos.

    Args:
        kind: auto: the embedded ones if all photos are `rendered`, else those for photographs.
        rendered: Whether all photos are marked as rendered.
        given: Names or paths that replace the defaults; "none" for none.
        device: Device.
    """
    embedded = kind == "embedded"
    names = (EMBEDDED if embedded or (kind == "auto" and rendered) else PHOTOGRAPHS) | {
        k: v for k, v in given.items() if v is not None
    }
    chosen = {k: None if v in (None, "none") else str(v) for k, v in names.items()}
    if chosen["pose"] is None:
        raise BolidError("pose: a pose network is required; give movenet, blazepose, or a folder")
    return Choice(**chosen, embedded=embedded, device=device)  # type: ignore[arg-type]


def choose_for(photos: Sequence[str | Path], kind: Kind = "auto", **given: str | Path | None) -> Choice:
    """`choose_networks` for photos, by the mark of rendered ones; `given` by name."""
    rendered = bool(photos) and all(is_rendered(Path(photo)) for photo in photos)
    return choose_networks(kind, rendered, given)


def is_embedded(name: str | Path) -> bool:
    """Whether a network is one of the embedded bundle."""
    path = Path(name)
    return path.is_relative_to(BUNDLE) or resolve(BUNDLE).resolve() in path.resolve().parents


def refusal(photo: str, networks: Sequence[str]) -> str:
    """The message for networks of the embedded bundle that refuse a photograph."""
    verb = "knows" if len(networks) == 1 else "know"
    return f"{photo}: {' and '.join(networks)} {verb} rendered people alone; see --networks"


def recogniser_of(fingerprint: str) -> str | None:
    """The name of the face recogniser with a fingerprint, if it is a known one that is installed."""
    from bolid.vision.networks import network

    for name in (PHOTOGRAPHS["face"], EMBEDDED["face"]):
        try:
            path = resolve(str(name)) if is_embedded(str(name)) else network(str(name))
            if path.is_file() and sha256(path) == fingerprint:
                return name
        except BolidError:  # not fetched
            continue
    return None
