"""What a photo is on disk (`ImageRecord`) and in a training step (`TrainingBatch`): names, shapes, ranges, units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

BODY_KINDS = ("build", "height", "shoulders", "waist", "hips", "legs")
PHRASE_KINDS = ("gender", *BODY_KINDS, "hair", "clothes", "pose", "view", "framing", "background", "text")
SPLITS = ("train", "val", "test")
ANYBODY = "a photo of a person"  # what a caption begins with when the gender phrase is dropped


class Phrase(NamedTuple):
    """A piece of a caption that can be dropped on its own; `kind` is one of `PHRASE_KINDS`."""

    kind: str
    text: str


def compose_caption(phrases: Sequence[Phrase], dropped: frozenset[str] | set[str] = frozenset()) -> str:
    """Joins the phrases whose kind is not dropped; without a gender the photo is of "a person"."""
    kept = [p.text for p in phrases if p.kind not in dropped]
    if "gender" in dropped or not kept:
        kept.insert(0, ANYBODY)
    return ", ".join(kept)


@dataclass
class ImageRecord:
    """One photo: a row of the manifest.

    Attributes:
        file_name: Path of the photo relative to the manifest's folder, with forward slashes.
        identity: Who it is; an opaque key that never enters a caption.
        phrases: The caption in droppable pieces, in order.
        keypoints: (17, 3) float32, COCO order; x, y in pixels of the photo, confidence in 0..1 (0: unseen, x = y = 0).
        keypoints_found: What a pose network finds, for whoever is not to know the true ones; no part of the manifest.
        keypoints_canonical: The same pose and camera on the average body, where known (rendered photos).
        box: (4,) x0, y0, x1, y1 of the person in pixels.
        face_box: (4,) of the face, or None.
        face_embedding: (512,) float32, L2-normalised, or None; `face_model` is the embedder's fingerprint.
        silhouette: Path of an 8-bit mask of the photo's size, relative to the folder, or None.
        source: Where the photo is from; `licence` under which it may be used.
        sha256: Of the photo's file.
        renderer: Version of the renderer, 0 for real photos.
    """

    file_name: str
    identity: str
    phrases: list[Phrase]
    keypoints: np.ndarray
    box: np.ndarray
    keypoints_found: np.ndarray | None = None
    keypoints_canonical: np.ndarray | None = None
    face_box: np.ndarray | None = None
    face_embedding: np.ndarray | None = None
    face_model: str = ""
    silhouette: str | None = None
    source: str = ""
    licence: str = ""
    sha256: str = ""
    renderer: int = 0

    @property
    def keypoints_seen(self) -> np.ndarray:
        """What may be known of a photo's pose: what a pose network found, where that was asked for."""
        return self.keypoints if self.keypoints_found is None else self.keypoints_found

    @property
    def caption(self) -> str:
        """The full caption."""
        return compose_caption(self.phrases)


@dataclass
class TrainingBatch:
    """B targets, each with up to M reference photos of the same person that are never the target itself.

    Attributes:
        pictures: (B, 3, H, W) float32 in -1..1, the targets.
        captions: B captions with phrases dropped as the training policy says: what the UNet gets.
        full_captions: B captions with every phrase.
        keypoints: (B, 17, 3) pixels of the H x W picture, confidence.
        keypoints_found: (B, 17, 3) as a pose network finds them, where that was asked for; else the same.
        keypoints_canonical: (B, 17, 3) the pose retargeted to the average body.
        silhouettes: (B, 1, H, W) in 0..1; only meaningful where `silhouette_known` (B,) bool.
        time_ids: (B, 6) float32: original height, width, crop top, left, target height, width (SDXL's conditions).
        reference_pictures: (B, M, 3, h, w) in -1..1, cropped to the person.
        reference_keypoints: (B, M, 17, 3) pixels of the h x w crop, confidence.
        reference_mask: (B, M) bool, which references exist.
        outfit_pictures: (B, K, 3, h, w) the target's scene in another outfit, cropped to the person; K is 1 where
            the data asks for it, else 0. `outfit_keypoints` (B, K, 17, 3), `outfit_mask` (B, K) bool likewise.
        reference_faces: (B, M, 512) L2-normalised, zero where `face_mask` (B, M) bool is False.
        identities: B identity keys.
        file_names: B file names of the targets; `reference_names` B lists of file names.
        reference_captions: B lists of the references' captions with every phrase.
    """

    pictures: Tensor
    captions: list[str]
    full_captions: list[str]
    keypoints: Tensor
    keypoints_found: Tensor
    keypoints_canonical: Tensor
    silhouettes: Tensor
    silhouette_known: Tensor
    time_ids: Tensor
    reference_pictures: Tensor
    reference_keypoints: Tensor
    reference_mask: Tensor
    outfit_pictures: Tensor
    outfit_keypoints: Tensor
    outfit_mask: Tensor
    reference_faces: Tensor
    face_mask: Tensor
    identities: list[str]
    file_names: list[str]
    reference_names: list[list[str]]
    reference_captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.pictures)

    @classmethod
    def cat(cls, batches: Sequence[TrainingBatch]) -> TrainingBatch:
        """Joins batches along B (the DataLoader's collate function); the number of references M must agree."""
        return cls(**joined_fields(batches))

    def _map(self, function) -> TrainingBatch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return TrainingBatch(**{k: function(v) if isinstance(v, Tensor) else v for k, v in values.items()})

    def to(self, *args, **kwargs) -> TrainingBatch:
        """Moves every tensor, as `Tensor.to` does (Lightning calls this)."""
        return self._map(lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> TrainingBatch:
        """Pins every tensor (the DataLoader calls this)."""
        return self._map(Tensor.pin_memory)

    def take(self, rows: Tensor) -> TrainingBatch:
        """The samples of these rows (n,)."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        taken: dict[str, Any] = {
            k: v[rows] if isinstance(v, Tensor) else [v[i] for i in rows.tolist()] for k, v in values.items()
        }
        return TrainingBatch(**taken)

    def __getitem__(self, rows: slice) -> TrainingBatch:
        """The samples of a slice."""
        return TrainingBatch(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})


def joined_fields(parts: Sequence[Any]) -> dict[str, Any]:
    """The fields of data classes of tensors and lists, each joined along the first axis."""
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(parts[0])}
    return {
        name: torch.cat(values) if isinstance(values[0], Tensor) else list(chain.from_iterable(values))
        for name, values in columns.items()
    }
