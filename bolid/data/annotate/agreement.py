"""Detects faces in a person's photos that disagree with the majority, and may show another person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bolid.core.schema import ImageRecord
from bolid.vision.face import alike_from

if TYPE_CHECKING:
    from bolid.data.annotate.store import Store

SAMPLE = 1000  # sample size for estimating the similarity of faces of one person
LEAST = 3  # minimum number of faces of a person


def limit(people: Sequence[str], faces: np.ndarray) -> float | None:
    """The similarity threshold between faces of one person and of two, estimated from the folder.

    It is midway between the medians of pairs of one person and of pairs of two.

    Args:
        people: n identities of the faces.
        faces: (n, F) of length 1.

    Returns:
        A cosine; None without several people with several faces, or if the medians do not differ.
    """
    if len(people) < LEAST:
        return None
    names = np.array(people)
    rows, columns = np.triu_indices(len(names), 1)
    cosines = (
        np.einsum("nf,nf->n", faces[rows], faces[columns])
        if len(rows) < 1_000_000
        else (faces @ faces.T)[rows, columns]
    )
    same = names[rows] == names[columns]
    if same.sum() < LEAST or (~same).sum() < LEAST:
        return None
    within, between = float(np.median(cosines[same])), float(np.median(cosines[~same]))
    return (within + between) / 2 if within > between else None


def outsiders(faces: np.ndarray, least: float) -> np.ndarray:
    """Which faces of one person disagree with the majority.

    Args:
        faces: (n, F) of length 1.
        least: Minimum median similarity with the majority's faces.

    Returns:
        (n,) bool; all False if there are too few faces, or no majority.
    """
    if len(faces) < LEAST:
        return np.zeros(len(faces), bool)
    agree = faces @ faces.T >= least  # (n, n)
    centre = agree.sum(1).argmax()
    majority = agree[centre]
    if majority.sum() <= len(faces) / 2:
        return np.zeros(len(faces), bool)
    return np.median(faces @ faces[majority].T, axis=1) < least


def face_limit(store: Store, model: str) -> float | None:
    """`limit` of a sample of a model's faces; for a single person the recogniser's default."""
    people: list[str] = []
    faces: list[np.ndarray] = []
    for photo in store.photos():
        if len(faces) == SAMPLE:
            break
        found = store.finding(photo.sha, model)
        if found is not None and found.face is not None:
            people.append(photo.person)
            faces.append(found.face)
    if not faces:
        return None
    learned = limit(people, np.stack(faces))
    return alike_from(faces[0].size) if learned is None and len(set(people)) == 1 else learned


def strange_faces(records: Sequence[ImageRecord], least: float | None) -> list[str]:
    """Photos of one person whose faces disagree with the majority."""
    faces = [(r.file_name, r.face_embedding) for r in records if r.face_embedding is not None]
    if least is None or len(faces) < LEAST:
        return []
    strange = outsiders(np.stack([face for _, face in faces]), least)
    return [name for (name, _), is_strange in zip(faces, strange, strict=True) if is_strange]
