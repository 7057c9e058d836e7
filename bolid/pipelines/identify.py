"""Photos of a person to the `References` that conditions read, and to an `Identity`."""

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
    """What one photo shows of a person.

    Attributes:
        name: Of the photo.
        crops: By height and width: the person (3, h, w) in -1..1 and their keypoints (17, 3) in pixels of the crop.
        face: (F,) L2-normalised, or None if the photo does not show the face.
        body: Whether it shows a trunk, shoulders to hips; a head or bust says nothing of a body.
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
    """What photos of one person show.

    Args:
        photos: Files; one that is broken, or does not show one person, is left out with a warning.
        sizes: Heights and widths of the crops.
        pose: Finds the person and the keypoints.
        face: Embeds the face where it is seen; None leaves faces out.
        whom: Whom a photo of several people is of, see `bolid.vision.people.choose`.
        refused: Networks among these that may look at rendered photos alone.

    Raises:
        BolidError: If no photo can be used.
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
    """What a photo shows of a person, whose keypoints (17, 3) and box (4,) are known in its pixels."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1  # (1, 3, H, W)
    keypoints, box = (torch.from_numpy(values)[None] for values in person)
    crops = {}
    for size in sizes:
        crop, points = crop_to_person(pixels, keypoints, box, size)
        crops[size] = crop[0], points[0]
    return View(name, crops, None if face is None else torch.from_numpy(face), shows_body(person[0]))


def usable(photos: Sequence[T], read: Callable[[T], View]) -> list[View]:
    """Views of photos of one person; each photo that cannot be used is left out with a warning.

    Raises:
        BolidError: If none is left.
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
    """Heights and widths of the crops that conditions read."""
    return {c.crop_size for c in conditions.values() if c.crop_size is not None}


def identify(
    conditions: Mapping[str, Condition], views: Sequence[View], face_model: str = "", device: torch.device | str = "cpu"
) -> Identity:
    """The person whom one or more views show, as the conditions embed them.

    Args:
        conditions: By name; those that are not of a person are left out.
        views: With crops of every size of `crop_sizes`.
        face_model: SHA-256 of what embedded the faces.
        device: Where the conditions are.

    Raises:
        BolidError: If a network answers with numbers that are none.
    """
    found = {}
    if strange := strangers(views):
        log.warning("faces that disagree with the majority, perhaps somebody else's: %s", ", ".join(strange))
    for name, condition in conditions.items():
        shown = [v for v in views if v.body or not condition.reads_bodies]
        if not shown:
            log.warning("no photo shows a body (shoulders and hips), so the identity has no %s", name)
            continue
        seen = with_tensors(references(shown, condition.crop_size), lambda tensor: tensor.to(device))
        if condition.personal and condition.known(seen).item():
            model = face_model if condition.reads_faces else condition.fingerprint
            values = condition.embed(seen)[0].float().cpu()
            check_values(values, f"what was read of the person's {name} (are its network's weights broken?)")
            found[name] = Embedding(values, model)
    return Identity(found)


def strangers(views: Sequence[View]) -> list[str]:
    """Photos whose faces disagree with those of the majority."""
    faces = [(v.name, v.face.numpy()) for v in views if v.face is not None]
    if not faces:
        return []
    strange = outsiders(np.stack([face for _, face in faces]), alike_from(faces[0][1].size))
    return [name for (name, _), is_strange in zip(faces, strange, strict=True) if is_strange]


def references(views: Sequence[View], size: Size | None) -> References:
    """Views of one person as conditions receive them (B = 1), in crops of a size, if any."""
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
    """References of nobody who is to be in a pose (17, 3), `count` times (B = count, M = 0); None: in any."""
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
    """In which pose the one person of a photo is, (17, 3) as `BoLIDPipeline` takes it.

    Args:
        photo: File; the largest part of it in its middle counts that has the shape of the picture to draw.
        size: Height and width of that picture.
        pose: Finds the keypoints. The limbs are as long as those of whom the photo shows.
        refused: Networks that may look at rendered photos alone.

    Raises:
        BolidError: If the photo cannot be read, or does not show one person.
    """
    if refused and not is_rendered(Path(photo)):
        raise PictureError(refusal(str(photo), refused))
    picture = ImageOps.fit(open_picture(Path(photo)), size[::-1])
    keypoints = find_person(picture, pose, str(photo)).keypoints
    return torch.from_numpy(keypoints / np.array([*picture.size, 1.0])).float()
