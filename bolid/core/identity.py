"""A person, as the branches know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from bolid.core.errors import BolidError


class Look(NamedTuple):
    """One photo of the person: a crop (3, h, w) in -1..1, its keypoints (17, 3), the face (512,) if it shows one."""

    crop: Tensor
    keypoints: Tensor
    face: Tensor | None


PARTS = ("face", "body", "image")


@dataclass(frozen=True)
class Identity:
    """Embeddings of one person.

    Attributes:
        face: (512,) mean of the L2-normalised face embeddings, or None if no photo showed a face.
        body: (d,) c_body, the posterior's mean, or None.
        image: (D,) mean of the photos' CLIP embeddings, or None.
        face_model: SHA-256 of the recogniser that embedded the face; empty where it is not known.
        body_model: SHA-256 of the encoder that read the body; empty where it is not known.
        image_model: SHA-256 of the CLIP's weights; empty where it is not known.
    """

    face: Tensor | None = None
    body: Tensor | None = None
    image: Tensor | None = None
    face_model: str = ""
    body_model: str = ""
    image_model: str = ""


def mix(first: Identity, second: Identity, share: float = 0.5) -> Identity:
    """Somebody between two people: (1 − share)·first + share·second, in all that is known of both.

    Args:
        first: What comes out at 0.
        second: What comes out at 1.
        share: Outside of 0..1 it exaggerates what one differs in from the other.

    Raises:
        BolidError: If they were read by different networks.
    """
    mixed: dict[str, Tensor | str | None] = {}
    for part in PARTS:
        ours, theirs = getattr(first, part), getattr(second, part)
        if ours is None or theirs is None:
            continue
        model, other = getattr(first, f"{part}_model"), getattr(second, f"{part}_model")
        if model and other and model != other:
            raise BolidError(f"their {part} was read by different networks; create both identities with the same one")
        mixed |= {part: ours.lerp(theirs, share), f"{part}_model": model or other}
    return Identity(**mixed)  # type: ignore[arg-type]
