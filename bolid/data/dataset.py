"""Samples: one photo of an identity is the target, others of the same identity are its references."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bolid.core import keypoints as kp
from bolid.core.schema import ImageRecord, Phrase, References, TrainingBatch, Views, asked_for, compose_caption
from bolid.data.cache import Geometry, ViewCache
from bolid.data.caption_dropout import swap_sides
from bolid.data.order import Rounds, fixed_order
from bolid.data.sampler import Draw
from bolid.data.specs import ReferenceSpec, SplitSpec

FACE_SIZE = 512  # size of face embeddings if there are none


class LeaveOneOutDataset(Dataset[TrainingBatch]):
    """Leave-one-out samples, a pure function of (seed, epoch, index), so that workers, ranks and resumed runs agree.

    In training an epoch iterates over the identities in rounds (see `Rounds`); the number of references is uniform over
    the possible values, and they are sampled from the person's photos of other scenes. Samples of one group are
    consecutive, and drop the same caption phrases. In evaluation every photo with enough references is a target once,
    in a fixed order in which neighbours are different people, with the maximum number of references.

    Attributes:
        records: The photos in use.
        skipped: One message per unusable photo, with its file name.
        group_size: Number of photos in a group; 1 without groups, and in evaluation.
        left_out: Number of photos that are no targets, because another of their group is unusable.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        folder: Path,
        size: tuple[int, int] = (96, 64),
        references: ReferenceSpec | None = None,
        spec: SplitSpec | None = None,
        training: bool = True,
        seed: int = 0,
        name: str = "photos",
        face_size: int = FACE_SIZE,
    ) -> None:
        """Makes missing resized copies, and sorts the photos by identity.

        Args:
            records: The photos.
            folder: Their top folder.
            size: Height and width of targets in pixels.
            references: Size and number of the references; None for the defaults.
            spec: Settings of samples; None for the defaults, with flips in training only.
            training: Whether samples are random, or all photos in order.
            seed: Seed of everything random.
            name: Name of the resized copies on disk, see `ViewCache`.
            face_size: F, size of face embeddings.
        """
        self.spec, self.references = (spec or SplitSpec()).completed(training), references or ReferenceSpec()
        self.flip = self.spec.flip or 0.0
        self.size, self.seed, self.training, self.face_size = size, seed, training, face_size
        self._records = list(records)
        self._proportions = _proportions(records)
        self._scenes = np.unique([r.scene or r.file_name for r in records], return_inverse=True)[1]
        self._colours = [colours(r) for r in records] if self.spec.new_clothes else []
        self._make_copies(folder, name)
        self._rows = self._group(np.flatnonzero(self._targets.good & self._people.good))
        self.records = [self._records[k] for k in sorted(np.concatenate([[], *self._rows.values()]).astype(int))]
        self._sort()

    def _make_copies(self, folder: Path, name: str) -> None:
        target, size = self.spec.target or "frame", self.references.size
        self._targets = ViewCache(self._records, folder, target, self.size, name)
        alone = not (self.references.max or self.spec.second_outfit)
        # Targets and references with equal crops share one set of copies on disk.
        same = alone or (target == "person" and self.size == size)
        self._people = self._targets if same else ViewCache(self._records, folder, "person", size, name)
        self.skipped = list(dict.fromkeys(self._targets.skipped + self._people.skipped))

    def _group(self, usable: np.ndarray) -> dict[str, np.ndarray]:
        rows: dict[str, list[int]] = defaultdict(list)
        for k in usable:
            rows[self._records[k].identity].append(int(k))
        return {identity: np.array(rows[identity]) for identity in sorted(rows)}

    def _sort(self) -> None:
        least = self.references.min
        targets = {i: rows for i, rows in self._rows.items() if len(np.unique(self._scenes[rows])) > least}
        self.group_size, self.left_out = 1, 0
        if self.training:
            self._rounds = Rounds(self._records, [int(k) for rows in targets.values() for k in rows], self.seed)
            self.group_size, self.left_out = self._rounds.size, self._rounds.left_out
        else:
            self._order = fixed_order(targets, self.seed, self._has_references, self.spec.max_targets)

    def _has_references(self, target: int) -> bool:
        return len(self._others(target)) >= self.references.min

    def __len__(self) -> int:
        """The number of possible targets."""
        return len(self._rounds if self.training else self._order)

    def __getitem__(self, draw: Draw | int) -> TrainingBatch:
        """The sample of a `Draw`, or of an index in epoch 0, as a batch of one."""
        epoch, index = draw if isinstance(draw, tuple) else (0, draw)
        if not len(self) or index < 0 or (index >= len(self) and not self.training):
            raise IndexError(index)
        group_index = index // self.group_size
        rng = np.random.default_rng([self.seed, 1, epoch, group_index])
        row = self._rounds.target(epoch, index, rng) if self.training else self._order[index]
        references = self._references(row, self._choose(row, rng), rng)
        outfit = self._views(self._other_outfit(row, rng), int(bool(self.spec.second_outfit)), rng)
        # A separate generator: the samples of a group may differ in their number of references.
        return self._sample(
            row, references, outfit, group_index, np.random.default_rng([self.seed, 3, epoch, group_index])
        )

    def _others(self, target: int) -> np.ndarray:
        """The candidate references of a target."""
        others = self._rows[self._records[target].identity]
        # A photo of the same scene in another outfit shares pose and background with the target.
        others = others[self._scenes[others] != self._scenes[target]]
        if self.spec.new_clothes:
            others = others[[self._colours[k].isdisjoint(self._colours[target]) for k in others]]
        return others

    def _choose(self, target: int, rng: np.random.Generator) -> np.ndarray:
        others = self._others(target)
        max_views = min(self.references.max, len(others))
        count = rng.integers(self.references.min, max_views + 1) if self.training else max_views
        return rng.permutation(others)[:count]

    def _other_outfit(self, target: int, rng: np.random.Generator) -> np.ndarray:
        if not self.spec.second_outfit:
            return np.empty(0, int)
        rows = self._rows[self._records[target].identity]
        return rng.permutation(rows[(self._scenes[rows] == self._scenes[target]) & (rows != target)])[:1]

    def _views(self, rows: np.ndarray, max_views: int, rng: np.random.Generator) -> Views:
        """Crops of these photos, padded to `max_views`: a batch of one."""
        height, width = self.references.size
        pictures = np.zeros((max_views, 3, height, width), np.float32)
        keypoints = np.zeros((max_views, 17, 3), np.float32)
        for slot, k in enumerate(rows):
            flipped = rng.random() < self.flip
            pictures[slot] = _scale(self._crop(int(k), rng), flipped)
            seen, geometry = self._records[k].keypoints_seen, self._people.geometry[k]
            keypoints[slot] = _place(seen, geometry, self.references.size, flipped)
        return Views(_batch(pictures), _batch(keypoints), _batch(np.arange(max_views) < len(rows)))

    def _crop(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """(h, w, 3) uint8."""
        pixels, nuisance = self._people.pictures[row], self.spec.nuisance
        return pixels if nuisance is None else nuisance.apply(pixels, self._people.silhouettes[row], rng)

    def _references(self, target: int, rows: np.ndarray, rng: np.random.Generator) -> References:
        views, records = self._views(rows, self.references.max, rng), [self._records[k] for k in rows]
        faces = np.zeros((self.references.max, self.face_size), np.float32)
        face_mask = np.zeros(self.references.max, bool)
        for slot, record in enumerate(records):
            if record.face_embedding is not None:
                faces[slot], face_mask[slot] = record.face_embedding, True
        return References(
            **vars(views),
            faces=_batch(faces),
            face_mask=_batch(face_mask),
            pose=torch.zeros(1, 17, 3),  # set with the target, whose crop it depends on
            proportions=_batch(self._proportions[target]),
            names=[[r.file_name for r in records]],
            captions=[[compose_caption(r.phrases) for r in records]],
            attributes=[[r.attributes for r in records]],
        )

    def _sample(
        self, row: int, references: References, outfit: Views, group: int, rng: np.random.Generator
    ) -> TrainingBatch:
        record, flipped = self._records[row], rng.random() < self.flip
        geometry = Geometry(*self._targets.geometry[row])
        dropped = self.spec.caption_dropout.draw(rng, record.phrases) if self.spec.caption_dropout else frozenset()
        phrases = [Phrase(p.kind, swap_sides(p.text)) for p in record.phrases] if flipped else record.phrases
        silhouette = self._targets.silhouettes[row][:, ::-1] if flipped else self._targets.silhouettes[row]
        canonical = record.keypoints_canonical
        if canonical is None:
            # Photographs have no rendering of the average body; random bone lengths hide the identity instead.
            canonical = kp.retarget(record.keypoints, rng)
        canonical = _place(canonical, geometry, self.size, flipped)
        references.pose = _batch(canonical / np.array([self.size[1], self.size[0], 1], np.float32))
        return TrainingBatch(
            pictures=_batch(_scale(self._targets.pictures[row], flipped)),
            captions=[compose_caption(phrases, dropped)],
            full_captions=[compose_caption(phrases)],
            asked=[asked_for(record, dropped)],
            full_asked=[asked_for(record)],
            keypoints=_batch(_place(record.keypoints, geometry, self.size, flipped)),
            keypoints_found=_batch(_place(record.keypoints_seen, geometry, self.size, flipped)),
            keypoints_canonical=_batch(canonical),
            silhouettes=_batch(silhouette[None].astype(np.float32) / 255),
            silhouette_known=torch.tensor([record.silhouette is not None]),
            whole_figure=torch.tensor([bool(record.whole_figure) and not dropped & {"framing", "view"}]),
            time_ids=_time_ids(geometry, self.size),
            references=references,
            outfit=outfit,
            groups=torch.tensor([group]),
            identities=[record.identity],
            families=[record.family or record.identity],
            file_names=[record.file_name],
        )


def colours(record: ImageRecord) -> frozenset[str]:
    """The clothing colours in a photo's caption."""
    asked = asked_for(record)
    return frozenset(asked[garment] for garment in ("shirt", "trousers") if garment in asked)


def _proportions(records: Sequence[ImageRecord]) -> np.ndarray:
    """(N, K) of all photos, NaN if unknown; K is 0 if all are unknown."""
    size = max((len(r.proportions) for r in records if r.proportions is not None), default=0)
    unknown = np.full(size, np.nan, np.float32)
    known = [unknown if r.proportions is None else r.proportions for r in records]
    return np.array(known, np.float32).reshape(len(records), size)


def _batch(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))[None]


def _scale(pixels: np.ndarray, flipped: bool) -> np.ndarray:
    """(h, w, 3) uint8 to (3, h, w) float32 in -1..1."""
    pixels = pixels[:, ::-1] if flipped else pixels
    return pixels.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1


def _place(points: np.ndarray, geometry: Sequence[float], size: tuple[int, int], flipped: bool) -> np.ndarray:
    """(17, 3) keypoints of the photo to keypoints of its view."""
    g = Geometry(*geometry)
    points = kp.transform(points, (g.scale_x, g.scale_y), (g.offset_x, g.offset_y), size)
    return kp.flip(points, size[1]) if flipped else points


def _time_ids(g: Geometry, size: tuple[int, int]) -> Tensor:
    """(1, 6): SDXL's size and crop conditions: the photo's size, and the crop's offset in the *scaled* photo."""
    crop = max(0.0, -g.offset_y), max(0.0, -g.offset_x)
    return torch.tensor([[g.photo_height, g.photo_width, *crop, *size]], dtype=torch.float32)
