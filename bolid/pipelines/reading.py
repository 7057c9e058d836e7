"""Detects and embeds people in photos by the networks that suit the photos and the adapter."""

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
    """The views of a person in photos, and the SHA-256 of the face recogniser, if one was used.

    Args:
        photos: See `view_photos`.
        conditions: Conditions that encode the views.
        choice: Networks to use.
        person: Selection in photos of several people, see `whom_by`.

    Raises:
        BolidError: If no photo is usable, a network is missing, or the conditions take embeddings of another
            recogniser.
    """
    embedder = None if choice.face is None else face_recogniser(choice.face)
    fingerprint = embedder.fingerprint if embedder else ""
    check_faces(conditions, fingerprint, str(choice.face), "--face")
    pose = pose_estimator(choice.pose)
    whom = whom_by(person, pose, embedder, choice.refused)
    return view_photos(photos, crop_sizes(conditions), pose, embedder, whom, choice.refused), fingerprint


def check_faces(conditions: Mapping[str, Condition], found: str, where: str, option: str) -> None:
    """Refuses face embeddings of another recogniser than the conditions were trained with.

    Args:
        conditions: Conditions by name.
        found: Fingerprint of the recogniser that embedded the faces.
        where: Description of that recogniser, for the message.
        option: Option that selects another recogniser, for the message.

    Raises:
        BolidError: If both are known and differ; the message names the right recogniser, if known.
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
        return f"{wanted}, which is for rendered people only; for photographs take an adapter trained on photographs"
    return f"{option} {wanted}"
