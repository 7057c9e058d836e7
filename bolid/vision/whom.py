"""Selects a person in photos of several people: by position, by size, or by a photo of the face."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.photos import SUFFIXES, is_rendered
from bolid.core.safe_io import PictureError, open_picture
from bolid.vision.choice import refusal
from bolid.vision.face import Embedder
from bolid.vision.people import WORDS, Estimator, Whom, find_person


def whom_by(
    person: str, estimator: Estimator, embedder: Embedder | None, refused: Sequence[str] = (), option: str = "person"
) -> Whom:
    """The selection for `bolid.vision.people.choose`: a word, or the face embedding of a photo.

    Args:
        person: only, left, right, largest, or a photo of one person's face.
        estimator: Pose network.
        embedder: Face recogniser.
        refused: Names of networks that refuse photographs.
        option: Name of the setting, for messages.

    Raises:
        BolidError: If it is none of these, or the photo shows no usable face of a single person.
    """
    if person in WORDS:
        return person  # type: ignore[return-value]
    if not os.path.isfile(person):
        raise BolidError(f"{option}: {person!r} is none of {', '.join(WORDS)}, and there is no photo of a face")
    return read_face(Path(person), estimator, embedder, refused, option)


def read_face(
    photo: Path, estimator: Estimator, embedder: Embedder | None, refused: Sequence[str] = (), option: str = "person"
) -> np.ndarray:
    """The face embedding (F,) of a photo of one person, see `whom_by`."""
    if embedder is None:
        raise BolidError(f"{option}: to look for a face takes a face recogniser: leave out --face none")
    if refused and not is_rendered(photo):
        raise BolidError(f"{option}: {refusal(str(photo), refused)}")
    try:
        picture = open_picture(photo)
        found = find_person(picture, estimator, str(photo))
    except PictureError as error:
        raise BolidError(f"{option}: {error}") from error
    face = embedder.embed(np.asarray(picture), found.keypoints)
    if face is None:
        raise BolidError(f"{option}: {photo} shows no face that can be read; give a photo from the front")
    return face


def face_photos(place: Path) -> dict[str, Path]:
    """Photos of faces by person: those named PERSON.jpg or similar in a folder; a single photo has the key "".

    Raises:
        BolidError: If there is none, or a person has two.
    """
    if place.is_file():
        return {"": place}
    found: dict[str, Path] = {}
    for path in sorted(place.iterdir()) if place.is_dir() else []:
        if path.suffix.lower() in SUFFIXES and path.is_file():
            if path.stem in found:
                raise BolidError(f"person: {place} has two photos of {path.stem}")
            found[path.stem] = path
    if not found:
        words = ", ".join(WORDS)
        raise BolidError(f"person: {str(place)!r} is none of {words}, and there are no photos PERSON.jpg of faces")
    return found
