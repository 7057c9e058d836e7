"""Schema of a photo on disk (`ImageRecord`) and in a training step (`TrainingBatch`): names, shapes, ranges, units."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

T = TypeVar("T")

BODY_KINDS = ("build", "height", "shoulders", "waist", "hips", "legs")
PHRASE_KINDS = ("gender", *BODY_KINDS, "hair", "clothes", "pose", "companion", "view", "framing", "background", "text")
ATTRIBUTE_KINDS = {"shirt": "clothes", "trousers": "clothes"}  # attribute -> kind of its phrase; default: its name
SPLITS = ("train", "val", "test")
ANYBODY = "a photo of a person"  # start of a caption whose gender phrase is dropped


class Phrase(NamedTuple):
    """A phrase of a caption with its own dropout; `kind` is one of `PHRASE_KINDS`."""

    kind: str
    text: str


def compose_caption(phrases: Sequence[Phrase], dropped: frozenset[str] | set[str] = frozenset()) -> str:
    """Joins the phrases whose kind is not dropped; without a gender phrase it starts with "a photo of a person"."""
    kept = [p.text for p in phrases if p.kind not in dropped]
    if "gender" in dropped or not kept:
        kept.insert(0, ANYBODY)
    return ", ".join(kept)


@dataclass
class ImageRecord:
    """One photo: a row of the manifest.

    Attributes:
        file_name: Path of the photo relative to the manifest's folder, with forward slashes.
        identity: Key of the person; never part of a caption.
        phrases: The caption's phrases in order.
        keypoints: (17, 3) float32, COCO order; x, y in pixels of the photo, confidence in 0..1 (0: invisible, x = y =
            0).
        keypoints_found: Keypoints of a pose network, for parts that must not use true ones; not in the manifest.
        keypoints_canonical: The same pose and camera on the average body, if known (rendered photos).
        box: (4,) x0, y0, x1, y1 of the person in pixels.
        face_box: (4,) of the face, or None.
        face_embedding: (F,) float32, L2-normalised, or None; `face_model` is the embedder's fingerprint.
        silhouette: Path of an 8-bit mask of the photo's size, relative to the folder, or None.
        source: Origin of the photo; `licence` is its licence.
        address: URL of a collected photo; `fetched` is its download time (ISO 8601).
        sha256: SHA-256 of the photo's file.
        renderer: Version of the renderer, 0 for real photos.
        attributes: Known attributes of the photo: attribute -> class, such as {"pose": "standing"}.
        proportions: (K,) float32, the person's proportions as deviations from the average body in standard deviations
            within a gender, or None if unknown.
        whole_figure: Whether the photo is known to show a whole figure, with measurable proportions.
        scene: Photos of one scene differ in the outfit alone, and are never references of each other; empty for none.
        group: Photos of one group are batched together and share their noise, such as a counterfactual pair, in which
            only the body differs; empty for none.
        family: Identities of one family differ in the body alone, and are batched together as hard negatives; empty for
            none.
        verdicts: Results of curation's filters: filter -> "kept", or a reason with its value, "blurry: 12.3 < 40".
        rejected: The first filter that rejects the photo, which excludes it from training; empty if it is kept.
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
    attributes: dict[str, str] = field(default_factory=dict)
    proportions: np.ndarray | None = None
    whole_figure: bool | None = None
    scene: str = ""
    group: str = ""
    family: str = ""
    address: str = ""
    fetched: str = ""
    verdicts: dict[str, str] = field(default_factory=dict)
    rejected: str = ""

    @property
    def keypoints_seen(self) -> np.ndarray:
        """`keypoints_found` if present, else `keypoints`."""
        return self.keypoints if self.keypoints_found is None else self.keypoints_found

    @property
    def caption(self) -> str:
        """The full caption."""
        return compose_caption(self.phrases)


def asked_for(record: ImageRecord, dropped: Collection[str] = frozenset()) -> dict[str, str]:
    """The attributes in the record's caption, attribute -> class, without those of `dropped` phrase kinds.

    A known attribute of the photo is in the caption if the caption has a phrase of the attribute's kind.
    """
    said = {p.kind for p in record.phrases} - set(dropped)
    return {name: value for name, value in record.attributes.items() if ATTRIBUTE_KINDS.get(name, name) in said}


@dataclass
class Views:
    """Up to M crops of each of B people, padded.

    Attributes:
        pictures: (B, M, 3, h, w) float32 in -1..1, cropped to the person.
        keypoints: (B, M, 17, 3) pixels of the h x w crop, confidence.
        mask: (B, M) bool, existing views.
    """

    pictures: Tensor
    keypoints: Tensor
    mask: Tensor


@dataclass
class References(Views):
    """Input of the conditions for each of B people, in training and inference.

    Attributes:
        faces: (B, M, F) L2-normalised face embeddings, zero where `face_mask` (B, M) bool is False.
        pose: (B, 17, 3) the target pose, retargeted to the average body: x and y as shares of the image's width and
            height, confidence; zero without a target pose.
        proportions: (B, K) true proportions, see `ImageRecord`; NaN if unknown.
        names: B lists of file names; `captions` B lists of captions with every phrase; `attributes` B lists of the
            photos' attributes, see `ImageRecord`.
    """

    faces: Tensor
    face_mask: Tensor
    pose: Tensor
    proportions: Tensor
    names: list[list[str]]
    captions: list[list[str]]
    attributes: list[list[dict[str, str]]]

    def shape_known(self, count: int) -> Tensor:
        """Whether `count` proportions are known for each person: (B,) bool."""
        known = self.proportions.isfinite().all(1)
        return known if self.proportions.shape[1] == count else torch.zeros_like(known)


@dataclass
class TrainingBatch:
    """B targets, each with up to M reference photos of the same person that are never the target itself.

    Attributes:
        pictures: (B, 3, H, W) float32 in -1..1, the targets.
        captions: B captions for the UNet, with phrases dropped by the training policy.
        full_captions: B captions with every phrase.
        asked: B mappings of the captions' attributes, attribute -> class; `full_asked` the same for full captions.
        keypoints: (B, 17, 3) pixels of the H x W image, confidence.
        keypoints_found: (B, 17, 3) keypoints of a pose network, if configured; else equal to `keypoints`.
        keypoints_canonical: (B, 17, 3) the pose retargeted to the average body.
        silhouettes: (B, 1, H, W) in 0..1; valid where `silhouette_known` (B,) bool.
        whole_figure: (B,) bool, whether the target is known to show a whole figure.
        time_ids: (B, 6) float32: original height, width, crop top, left, target height, width (SDXL's conditions).
        references: References of the same people.
        outfit: The target's scene in another outfit; M is 1 if configured, else 0.
        groups: (B,) int64; samples of one group share noise, timestep and condition dropout.
        identities: B identity keys.
        families: B family keys, see `ImageRecord`; the identity if it has no family.
        file_names: B file names of the targets.
    """

    pictures: Tensor
    captions: list[str]
    full_captions: list[str]
    asked: list[dict[str, str]]
    full_asked: list[dict[str, str]]
    keypoints: Tensor
    keypoints_found: Tensor
    keypoints_canonical: Tensor
    silhouettes: Tensor
    silhouette_known: Tensor
    whole_figure: Tensor
    time_ids: Tensor
    references: References
    outfit: Views
    groups: Tensor
    identities: list[str]
    families: list[str]
    file_names: list[str]

    def __len__(self) -> int:
        return len(self.pictures)

    @classmethod
    def cat(cls, batches: Sequence[TrainingBatch]) -> TrainingBatch:
        """Concatenates batches along B (the DataLoader's collate function); the number of references M must agree."""
        return joined(batches)

    def to(self, *args, **kwargs) -> TrainingBatch:
        """Moves every tensor, as `Tensor.to` does (Lightning calls this)."""
        return with_tensors(self, lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> TrainingBatch:
        """Pins every tensor (the DataLoader calls this)."""
        return with_tensors(self, Tensor.pin_memory)

    def take(self, rows: Tensor) -> TrainingBatch:
        """The samples of these rows (n,)."""
        return with_values(self, lambda v: v[rows] if isinstance(v, Tensor) else [v[i] for i in rows.tolist()])

    def __getitem__(self, rows: slice) -> TrainingBatch:
        """The samples of a slice."""
        return with_values(self, lambda value: value[rows])


def with_values(part: T, function: Callable[[Any], Any]) -> T:
    """Maps a function over all tensors and lists of a nested dataclass."""
    values = {f.name: getattr(part, f.name) for f in fields(part)}  # type: ignore[arg-type]
    changed = {k: with_values(v, function) if is_dataclass(v) else function(v) for k, v in values.items()}
    return type(part)(**changed)


def with_tensors(part: T, function: Callable[[Tensor], Tensor]) -> T:
    """Maps a function over all tensors of a nested dataclass."""
    return with_values(part, lambda value: function(value) if isinstance(value, Tensor) else value)


def joined(parts: Sequence[T]) -> T:
    """Concatenates each field of nested dataclasses along the first axis."""
    columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(parts[0])}  # type: ignore[arg-type]
    return type(parts[0])(**{name: _joined(values) for name, values in columns.items()})


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    return joined(values) if is_dataclass(values[0]) else list(chain.from_iterable(values))
