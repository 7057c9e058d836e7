"""Photos of a person to an `Identity`: what `BoLIDPipeline` needs to draw them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.identity import Identity, Look
from bolid.core.safe_io import PictureError, open_picture
from bolid.models.body_vae import BodyVAE
from bolid.models.crop import crop_to_person
from bolid.vision.face import FaceEmbedder
from bolid.vision.person import Estimator, find_person

log = logging.getLogger(__name__)
T = TypeVar("T")


def look_at(
    photos: Sequence[str | Path], size: tuple[int, int], pose: Estimator, face: FaceEmbedder | None
) -> list[Look]:
    """What photos of one person alone show.

    Args:
        photos: Files; one that is broken, or does not show one person, is left out with a warning.
        size: Height and width of the crops.
        pose: Finds the person and the keypoints.
        face: Embeds the face where it is seen; None leaves faces out.

    Raises:
        BolidError: If no photo can be used.
    """

    def read(photo: str | Path) -> Look:
        picture = open_picture(Path(photo))
        keypoints, box = find_person(picture, pose, str(photo))
        embedding = None if face is None else face.embed(np.asarray(picture), keypoints)
        return look(picture, keypoints, box, embedding, size)

    return usable(photos, read)


def pose_in(photo: str | Path, size: tuple[int, int], pose: Estimator) -> Tensor:
    """In which pose the one person of a photo is, (17, 3) as `BoLIDPipeline` takes it.

    Args:
        photo: File; the largest part of it in its middle counts that has the shape of the picture to draw.
        size: Height and width of that picture.
        pose: Finds the keypoints. The limbs are as long as those of whom the photo shows.

    Raises:
        BolidError: If the photo cannot be read, or does not show one person.
    """
    picture = ImageOps.fit(open_picture(Path(photo)), size[::-1])
    keypoints, _ = find_person(picture, pose, str(photo))
    return torch.from_numpy(keypoints / np.array([*picture.size, 1.0])).float()


def usable(photos: Sequence[T], read: Callable[[T], Look]) -> list[Look]:
    """Looks at photos of one person; each that cannot be used is left out with a warning.

    Raises:
        BolidError: If none is left.
    """
    looks, reasons = [], []
    for photo in photos:
        try:
            looks.append(read(photo))
        except PictureError as error:
            reasons.append(str(error))
    if not looks:
        raise BolidError(f"no photo of one person: {' '.join(reasons) or 'none were given'}")
    for reason in reasons:
        log.warning("left out: %s", reason)
    return looks


def look(
    picture: Image.Image, keypoints: np.ndarray, box: np.ndarray, face: np.ndarray | None, size: tuple[int, int]
) -> Look:
    """What a photo shows of a person whose keypoints (17, 3) and box (4,) are known, in its pixels."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1  # (1, 3, H, W)
    crop, points = crop_to_person(pixels, torch.from_numpy(keypoints)[None], torch.from_numpy(box)[None], size)
    return Look(crop[0], points[0], None if face is None else torch.from_numpy(face))


@torch.no_grad()
def merge(looks: Sequence[Look], encoder: BodyVAE) -> Identity:
    """The person whom one or more looks show."""
    return Identity(face=mean_face(looks), body=encoder.encode_looks(looks).mean[0].cpu())


def mean_face(looks: Sequence[Look]) -> Tensor | None:
    """Mean of the face embeddings (512,), None where no photo shows one."""
    faces = [look.face for look in looks if look.face is not None]
    return torch.stack(faces).mean(0) if faces else None
