"""`bolid data label`: a folder of photos per person becomes a data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.photos import SUFFIXES
from bolid.core.safe_io import atomic_path, open_picture, resolve_inside, sha256
from bolid.core.schema import ANYBODY, SPLITS, ImageRecord, Phrase
from bolid.data.annotate.faces import Embedder
from bolid.data.manifest import MANIFEST, read_manifest, write_manifest

if TYPE_CHECKING:
    from bolid.vision.person import Estimator

log = logging.getLogger(__name__)
MASKS = ".masks"  # the folder of silhouettes, in which nobody looks for photos
MAX_CAPTION = 2000  # characters; text encoders read far less


class Outliner(Protocol):
    """What `bolid.vision.silhouette.PersonSegmenter` offers; tests bring their own."""

    def silhouette(self, picture: Image.Image) -> np.ndarray:
        """(H, W) uint8, 255 where the person is."""
        ...


@dataclass
class LabelSummary:
    """What labelling a folder came to.

    Attributes:
        records: The photos that are in the manifest now.
        skipped: One message for each that is not, naming it.
    """

    records: list[ImageRecord] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        people = len({r.identity for r in self.records})
        faces = sum(r.face_embedding is not None for r in self.records)
        return f"{len(self.records)} photos of {people} people, {faces} with a face; {len(self.skipped)} skipped"


def label_folder(
    folder: Path,
    pose: Path = Path("data/tiny/pose"),
    face: Path | None = Path("data/tiny/face/face.onnx"),
    segmenter: str | None = None,
) -> str:
    """Finds the person in every photo of a folder and writes the manifest that training reads.

    Photos lie in one folder per person, FOLDER/PERSON/PHOTO (.png, .jpg or .webp), or in FOLDER/SPLIT/PERSON/PHOTO with
    the splits train, val and test. A text file of the photo's name (PHOTO.txt) is its caption; leave names out of it.

    Args:
        folder: The folder of people's folders.
        pose: Folder of the pose network that finds people and their keypoints.
        face: The ONNX face recogniser; null for no face embeddings.
        segmenter: Folder or hub id of a segmentation network of transformers that knows people, whose silhouettes stage
            1 learns from; null for none.

    Returns:
        A line that counts photos, people, faces, and what was skipped.
    """
    from bolid.vision.face import FaceEmbedder
    from bolid.vision.pose import PoseEstimator
    from bolid.vision.silhouette import PersonSegmenter

    folder = Path(folder)
    _check_folder(folder)
    embedder = None if face is None else FaceEmbedder(resolve(face))
    outliner = None if segmenter is None else PersonSegmenter(segmenter)
    summary = label_photos(folder, PoseEstimator(resolve(pose)), embedder, outliner)
    return f"{folder}: {summary}"


def label_photos(
    folder: Path, estimator: Estimator, embedder: Embedder | None, outliner: Outliner | None = None
) -> LabelSummary:
    """Labels all photos with the given networks and writes the manifest; an older one is replaced.

    Photos that are broken or huge, show nobody or several people, or are links to outside the folder are skipped with a
    warning.

    Raises:
        BolidError: if the folder is missing or rendered, or no photo can be used.
    """
    from tqdm import tqdm

    _check_folder(folder)
    summary = LabelSummary()
    photos = list(_photos(folder))
    for name, identity in tqdm(photos, f"labelling {folder.name}", unit="photo", disable=len(photos) < 20):
        try:
            summary.records.append(_label(folder, name, identity, estimator, embedder, outliner))
        except BolidError as error:
            log.warning("skipped %s", error)
            summary.skipped.append(str(error))
    if not summary.records:
        reason = summary.skipped[0] if summary.skipped else f"there are no {', '.join(SUFFIXES)} files"
        raise BolidError(f"{folder}: no usable photo at FOLDER/PERSON/PHOTO: {reason}")
    write_manifest(folder, summary.records)
    return summary


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise BolidError(f"{folder}: no such folder; give one that holds a folder of photos for each person.")
    manifests = [folder / split / MANIFEST for split in ("", *SPLITS)]
    if any(p.is_file() for p in manifests) and any(r.renderer for r in read_manifest(folder)):
        raise BolidError(f"{folder}: holds rendered people, whose labels are exact; nothing was changed.")


def _photos(folder: Path) -> Iterator[tuple[str, str]]:
    """File name and identity of every photo, sorted. Links are listed like files; `_label` judges where they lead."""
    for top in _entries(folder):
        people = [f"{top}/{name}" for name in _entries(folder / top)] if top in SPLITS else [top]
        for person in people:
            for photo in _entries(folder / person):
                if photo.lower().endswith(SUFFIXES):
                    yield f"{person}/{photo}", person.rpartition("/")[2]


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if name[0] != ".") if folder.is_dir() else []
    except OSError as error:
        raise BolidError(f"{folder}: cannot be listed ({error}).") from error


def _label(
    folder: Path,
    name: str,
    identity: str,
    estimator: Estimator,
    embedder: Embedder | None,
    outliner: Outliner | None,
) -> ImageRecord:
    if not name.isprintable():
        raise BolidError(f"{folder}: {name!r} has characters that no manifest can hold; rename it.")
    from bolid.vision.person import find_person

    path = resolve_inside(folder, name)
    picture = open_picture(path)
    keypoints, box = find_person(picture, estimator, str(path))
    return ImageRecord(
        file_name=name,
        identity=identity,
        phrases=[Phrase("text", _caption(folder, name))],
        keypoints=keypoints,
        box=box,
        face_embedding=embedder.embed(np.asarray(picture), keypoints) if embedder else None,
        face_model=embedder.fingerprint if embedder else "",
        silhouette=None if outliner is None else _outline(folder, name, picture, outliner),
        source="own",
        sha256=sha256(path),
    )


def _outline(folder: Path, name: str, picture: Image.Image, outliner: Outliner) -> str:
    """Writes the photo's silhouette, and returns its path in the folder."""
    path = f"{MASKS}/{name}.png"
    with atomic_path(resolve_inside(folder, path)) as part:
        Image.fromarray(outliner.silhouette(picture)).save(part)
    return path


def _caption(folder: Path, name: str) -> str:
    path = resolve_inside(folder, str(Path(name).with_suffix(".txt")))
    if not path.is_file():
        return ANYBODY
    with open(path, encoding="utf-8", errors="replace") as file:
        return " ".join(file.read(MAX_CAPTION).split()) or ANYBODY
