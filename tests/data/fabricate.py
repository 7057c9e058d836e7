"""A folder of drawn people: what data tests need of a data set, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image, ImageDraw
from pyarrow import parquet
from torch import Tensor

from bolid.core.safe_io import sha256
from bolid.core.schema import ImageRecord, Phrase
from bolid.data.manifest import write_manifest
from bolid.synthetic.measures import CALIBRATION, PEOPLE, RATIOS

# A standing person in a box of 1 x 1: x and y of the COCO points.
FIGURE = np.array(
    [
        *((0.5, 0.05), (0.56, 0.03), (0.44, 0.03), (0.6, 0.05), (0.4, 0.05), (0.75, 0.2), (0.25, 0.2), (0.9, 0.35)),
        *((0.1, 0.35), (1, 0.5), (0, 0.5), (0.65, 0.5), (0.35, 0.5), (0.68, 0.75), (0.32, 0.75), (0.7, 1), (0.3, 1)),
    ]
)


def draw_person(path: Path, identity: int, photo: int, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draws a photo whose colours tell who (red) and which photo (green) it is, the left half brighter in blue.

    Returns:
        keypoints (17, 3) and box (4,) in pixels; size is (height, width).
    """
    rng = np.random.default_rng([identity, photo])
    height, width = size
    box = np.array([0.2, 0.1, 0.7, 0.9]) * [width, height, width, height] + np.repeat(rng.uniform(0, 0.05), 4) * width
    picture = Image.new("RGB", (width, height), (40, 40, 40))
    pen = ImageDraw.Draw(picture)
    pen.rectangle(box.tolist(), fill=((60 + identity * 20) % 256, photo * 60 % 256, 0))
    pen.rectangle(
        [box[0], box[1], (box[0] + box[2]) / 2, box[3]], fill=((60 + identity * 20) % 256, photo * 60 % 256, 200)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    points = np.ones((17, 3), np.float32)
    points[:, :2] = box[:2] + FIGURE * (box[2:] - box[:2])
    return points, box.astype(np.float32)


def fabricate(
    folder: Path,
    people: dict[str, int],
    photos: int = 3,
    size: tuple[int, int] = (96, 64),
    faces: bool = True,
    silhouettes: bool = False,
    more: Sequence[Phrase] = (),
) -> list[ImageRecord]:
    """Fills a folder with drawn people and their manifest.

    Args:
        folder: Where.
        people: How many in each split; the split "" puts photos straight into the top folder, a folder per person.
        photos: Of each person.
        size: Height and width in pixels.
        faces: Whether every first photo has a face embedding.
        silhouettes: Whether every photo has one.
        more: What every caption says at its end.
    """
    records = []
    for who, split in enumerate(split for split, count in people.items() for _ in range(count)):
        for photo in range(photos):
            name = f"{split}/p{who:06d}_{photo}.png" if split else f"p{who:06d}/{photo}.png"
            records.append(_record(folder, name, who, photo, size, faces and photo == 0, silhouettes))
            records[-1].phrases.extend(more)
    write_manifest(folder, records)
    return records


def fabricate_bodies(folder: Path, identities: Sequence[str], seed: int = 0) -> Tensor:
    """Writes a table of people, women and men in turn, as rendering does.

    Returns:
        (P, 7) how far each is from the average of the gender, in standard deviations.
    """
    deviations = np.random.default_rng(seed).normal(size=(len(identities), len(RATIOS)))
    rows = []
    for number, (identity, person) in enumerate(zip(identities, deviations, strict=True)):
        gender = ("woman", "man")[number % 2]
        average = [CALIBRATION[gender][name] for name in RATIOS]
        ratios = [mean + z * spread for z, (mean, spread) in zip(person, average, strict=True)]
        rows.append({"identity": identity, "gender": gender} | dict(zip(RATIOS, ratios, strict=True)))
    parquet.write_table(pa.Table.from_pylist(rows), folder / PEOPLE)
    return torch.from_numpy(deviations).float()


def _record(
    folder: Path, name: str, who: int, photo: int, size: tuple[int, int], face: bool, silhouette: bool
) -> ImageRecord:
    keypoints, box = draw_person(folder / name, who, photo, size)
    if silhouette:
        mask = np.asarray(Image.open(folder / name))[..., 0] != 40
        path = folder / "masks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    embedding = np.random.default_rng(who).normal(size=512)
    return ImageRecord(
        file_name=name,
        identity=f"p{who:06d}",
        phrases=[
            Phrase("gender", "a photo of a woman"),
            Phrase("build", "slender"),
            Phrase("waist", "narrow waist"),
            Phrase("hair", "short hair"),
            Phrase("pose", "left arm raised"),
        ],
        keypoints=keypoints,
        box=box,
        face_embedding=(embedding / np.linalg.norm(embedding)).astype(np.float32) if face else None,
        face_model="drawn" if face else "",
        silhouette=f"masks/{name}" if silhouette else None,
        source="drawn",
        licence="CC0-1.0",
        sha256=sha256(folder / name),
    )
