"""Turns photos of a person into the `References` that conditions encode, and into an `Identity`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity, check_values
from bolid.core.keypoints import KEYPOINTS, shows_body
from bolid.core.photos import is_rendered
from bolid.core.safe_io import PictureError, open_picture
from bolid.core.schema import References, with_tensors
from bolid.data.annotate.agreement import outsiders
from bolid.models.crop import crop_to_person
from bolid.vision.choice import refusal
from bolid.vision.face import EMBEDDING, Recogniser, alike_from
from bolid.vision.people import Estimator, Whom, find_person

log = logging.getLogger(__name__)
T = TypeVar("T")

Size = tuple[int, int]


class View(NamedTuple):
    """The crops and the face embedding of a person in one photo.

    Attributes:
        name: Name of the photo.
        crops: (height, width) -> the crop of the person (3, h, w) in -1..1, and its keypoints (17, 3) in pixels of the
            crop.
        face: (F,) L2-normalised, or None if the photo does not show the face.
        body: Whether shoulders and hips are visible; a head or bust says nothing of the body.
    """

    name: str
    crops: dict[Size, tuple[Tensor, Tensor]]
    face: Tensor | None
    body: bool = True


def view_photos(
    photos: Sequence[str | Path],
    sizes: Collection[Size],
    pose: Estimator,
    face: Recogniser | None,
    whom: Whom = "only",
    refused: Sequence[str] = (),
) -> list[View]:
    """Detects, crops and embeds one person in photos.

    Args:
        photos: Paths; a photo that is broken, or does not show exactly one person, is left out with a warning.
        sizes: Heights and widths of the crops.
        pose: Pose network that detects the person and the keypoints.
        face: Face recogniser; None leaves faces out.
        whom: Selection in photos of several people, see `bolid.vision.people.choose`.
        refused: Names of those networks that must not see real photographs.

    Raises:
        BolidError: If no photo is usable.
    """

    def read(photo: str | Path) -> View:
        if refused and not is_rendered(Path(photo)):
            raise PictureError(refusal(str(photo), refused))
        picture = open_picture(Path(photo))
        keypoints, box, _ = find_person(picture, pose, str(photo), whom, face)
        embedding = None if face is None else face.embed(np.asarray(picture), keypoints)
        return view(str(photo), picture, (keypoints, box), embedding, sizes)

    return usable(photos, read)


def view(
    name: str,
    picture: Image.Image,
    person: tuple[np.ndarray, np.ndarray],
    face: np.ndarray | None,
    sizes: Collection[Size],
) -> View:
    """The view of a person with keypoints (17, 3) and box (4,) in pixels of the photo."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1  # (1, 3, H, W)
    keypoints, box = (torch.from_numpy(values)[None] for values in person)
    crops = {}
    for size in sizes:
        crop, points = crop_to_person(pixels, keypoints, box, size)
        crops[size] = crop[0], points[0]
    return View(name, crops, None if face is None else torch.from_numpy(face), shows_body(person[0]))


def usable(photos: Sequence[T], read: Callable[[T], View]) -> list[View]:
    """The views of the usable photos; the others are left out with a warning.

    Raises:
        BolidError: If none is usable.
    """
    views, reasons = [], []
    for photo in photos:
        try:
            views.append(read(photo))
        except PictureError as error:
            reasons.append(str(error))
    if not views:
        raise BolidError(f"no photo of one person: {' '.join(reasons) or 'none were given'}")
    for reason in reasons:
        log.warning("left out: %s", reason)
    return views


def crop_sizes(conditions: Mapping[str, Condition]) -> set[Size]:
    """Heights and widths of the crops that conditions encode."""
    return {c.crop_size for c in conditions.values() if c.crop_size is not None}


def identify(
    conditions: Mapping[str, Condition], views: Sequence[View], face_model: str = "", device: torch.device | str = "cpu"
) -> Identity:
    """The identity of one or more views: one embedding per condition.

    Args:
        conditions: Conditions by name; those that are not personal are left out.
        views: Views with crops of every size of `crop_sizes`.
        face_model: SHA-256 of the recogniser that embedded the faces.
        device: Device of the conditions.

    Raises:
        BolidError: If an embedding is not finite.
    """
    found = {}
    if strange := strangers(views):
        log.warning("faces that disagree with the majority, perhaps of another person: %s", ", ".join(strange))
    for name, condition in conditions.items():
        shown = [v for v in views if v.body or not condition.reads_bodies]
        if not shown:
            log.warning("no photo shows a body (shoulders and hips), so the identity has no %s", name)
            continue
        seen = with_tensors(references(shown, condition.crop_size), lambda tensor: tensor.to(device))
        if condition.personal and condition.known(seen).item():
            # A face condition embeds nothing itself: the fingerprint is that of the recogniser.
            model = face_model if condition.reads_faces else condition.fingerprint
            values = condition.embed(seen)[0].float().cpu()
            check_values(values, f"what was read of the person's {name} (are its network's weights broken?)")
            found[name] = Embedding(values, model)
    return Identity(found)


def strangers(views: Sequence[View]) -> list[str]:
    """The names of photos whose faces disagree with the majority."""
    faces = [(v.name, v.face.numpy()) for v in views if v.face is not None]
    if not faces:
        return []
    strange = outsiders(np.stack([face for _, face in faces]), alike_from(faces[0][1].size))
    return [name for (name, _), is_strange in zip(faces, strange, strict=True) if is_strange]


def references(views: Sequence[View], size: Size | None) -> References:
    """The `References` (B = 1) of one person's views, with crops of the given size, if any."""
    crops = [v.crops[size] for v in views] if size else [(torch.zeros(3, 1, 1), torch.zeros(KEYPOINTS, 3))] * len(views)
    numbers = next((len(v.face) for v in views if v.face is not None), EMBEDDING)
    faces = [torch.zeros(numbers) if v.face is None else v.face for v in views]
    return References(
        pictures=torch.stack([crop for crop, _ in crops])[None],
        keypoints=torch.stack([points for _, points in crops])[None],
        mask=torch.ones(1, len(views), dtype=torch.bool),
        faces=torch.stack(faces)[None],
        face_mask=torch.tensor([[v.face is not None for v in views]]),
        pose=torch.zeros(1, KEYPOINTS, 3),
        proportions=torch.full((1, 0), torch.nan),
        names=[[v.name for v in views]],
        captions=[[""] * len(views)],
        attributes=[[{} for _ in views]],
    )


def pose_alone(pose: Tensor | None, count: int) -> References:
    """`References` without an identity (B = count, M = 0) for a target pose (17, 3), or None for any pose."""
    asked = torch.zeros(KEYPOINTS, 3) if pose is None else pose.float().cpu()
    return References(
        pictures=torch.zeros(count, 0, 3, 1, 1),
        keypoints=torch.zeros(count, 0, KEYPOINTS, 3),
        mask=torch.zeros(count, 0, dtype=torch.bool),
        faces=torch.zeros(count, 0, EMBEDDING),
        face_mask=torch.zeros(count, 0, dtype=torch.bool),
        pose=asked.expand(count, -1, -1),
        proportions=torch.full((count, 0), torch.nan),
        names=[[]] * count,
        captions=[[]] * count,
        attributes=[[]] * count,
    )


def pose_in(photo: str | Path, size: Size, pose: Estimator, refused: Sequence[str] = ()) -> Tensor:
    """The pose of the only person in a photo: (17, 3) as `BoLIDPipeline` takes it.

    Args:
        photo: Path; the photo is center-cropped to the aspect ratio of the image to generate.
        size: Height and width of that image.
        pose: Pose network. The keypoints keep the limb lengths of the person in the photo.
        refused: Names of networks that must not see real photographs.

    Raises:
        BolidError: If the photo cannot be read, or does not show one person.
    """
    if refused and not is_rendered(Path(photo)):
        raise PictureError(refusal(str(photo), refused))
    # Keypoints are shares of the image's size, and keep their aspect only after this crop.
    picture = ImageOps.fit(open_picture(Path(photo)), size[::-1])
    keypoints = find_person(picture, pose, str(photo)).keypoints
    return torch.from_numpy(keypoints / np.array([*picture.size, 1.0])).float()
