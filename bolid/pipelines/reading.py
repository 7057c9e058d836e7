"""Photos of a person to what conditions read, by the networks that fit the photos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.pipelines.identify import View, crop_sizes, view_photos
from bolid.vision.choice import Choice, is_embedded, recogniser_of
from bolid.vision.load import face_recogniser, pose_estimator
from bolid.vision.whom import whom_by


def read_photos(
    photos: Sequence[str | Path], conditions: Mapping[str, Condition], choice: Choice, person: str = "only"
) -> tuple[list[View], str]:
    """What photos show of a person, and the SHA-256 of the recogniser, if one was asked.

    Args:
        photos: See `view_photos`.
        conditions: That are to know the person.
        choice: The networks.
        person: Whom a photo of several people is of, see `whom_by`.

    Raises:
        BolidError: If no photo can be used, a network is not there, or the faces are not those of the conditions.
    """
    embedder = None if choice.face is None else face_recogniser(choice.face)
    fingerprint = embedder.fingerprint if embedder else ""
    check_faces(conditions, fingerprint, str(choice.face), "--face")
    pose = pose_estimator(choice.pose)
    whom = whom_by(person, pose, embedder, choice.refused)
    return view_photos(photos, crop_sizes(conditions), pose, embedder, whom, choice.refused), fingerprint


def check_faces(conditions: Mapping[str, Condition], found: str, where: str, option: str) -> None:
    """Refuses faces that were embedded by another network than the one that conditions were trained with.

    Args:
        conditions: By name.
        found: The fingerprint of what embedded the faces.
        where: What that is, for the message.
        option: How another recogniser is given.

    Raises:
        BolidError: If both are known and differ; it says which recogniser it was, if that is known, and what to do.
    """
    for condition in (c for c in conditions.values() if c.reads_faces):
        try:
            condition.check_fingerprint(found, where)
        except BolidError as error:
            wanted = recogniser_of(condition.fingerprint)
            raise BolidError(f"{error}: {_remedy(wanted, option)}, or leave the face out by --face none") from error


def _remedy(wanted: str | None, option: str) -> str:
    if wanted is None:
        return f"by {option} the recogniser that annotated the adapter's photos"
    if is_embedded(wanted):
        return f"{wanted}, which knows rendered people alone; of photographs take an adapter trained on photographs"
    return f"{option} {wanted}"
