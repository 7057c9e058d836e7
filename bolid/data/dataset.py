"""Photos to samples: one photo of an identity is the target, others of the same identity are its references."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bolid.core import keypoints as kp
from bolid.core.errors import BolidError
from bolid.core.schema import ImageRecord, Phrase, References, TrainingBatch, Views, asked_for, compose_caption
from bolid.data.cache import Geometry, View, ViewCache
from bolid.data.caption_dropout import CaptionDropout, swap_sides
from bolid.data.sampler import Draw

log = logging.getLogger(__name__)


class LeaveOneOutDataset(Dataset[TrainingBatch]):
    """Samples as a pure function of (seed, epoch, index), so that workers, ranks and resumed runs agree.

    In training an epoch goes through the identities in rounds, each in a new order; of the identity the target is
    uniform over its photos, the number of references uniform over what is allowed and possible, and the references are
    drawn from its other photos; the target in another outfit (see `render_people`) is none of them, but two references
    may differ in the outfit alone. In evaluation every
    photo with enough others is a target once, in a fixed order in which neighbours are different people, with as many
    references as there are, unflipped.

    Attributes:
        records: The photos in use.
        skipped: Why others are not: one message each, naming the file.
    """

    def __init__(
        self,
        records: Sequence[ImageRecord],
        folder: Path,
        size: tuple[int, int] = (96, 64),
        reference_size: tuple[int, int] = (96, 64),
        target: View = "frame",
        min_references: int = 1,
        max_references: int = 4,
        caption_dropout: CaptionDropout | None = None,
        flip: float = 0.5,
        training: bool = True,
        seed: int = 0,
        name: str = "photos",
        families: Mapping[str, object] | None = None,
        opposites: bool = False,
        other_outfits: bool = False,
        targets: int | None = None,
        new_clothes: bool = False,
    ) -> None:
        """Makes the working-size copies that are missing, and sorts the photos by identity.

        Args:
            records: The photos.
            folder: Their top folder.
            size: Height and width of targets in pixels.
            reference_size: Height and width of references in pixels.
            target: `frame`: the whole photo, cut to the aspect; `person`: cropped to the person, as references are.
            min_references: People with fewer other photos are no targets; 0 takes single photos too.
            max_references: M, 0 for none.
            caption_dropout: Phrases left out of `captions`; None leaves all in.
            flip: Probability of mirroring each picture in training.
            training: Samples drawn at random, at any index, or all photos in order.
            seed: Of everything random.
            name: Of the working copies on disk, see `ViewCache`.
            families: Of identities that look alike in all but the body; in training, members of one family follow each
                other, so that a batch holds them together. Others are a family of their own.
            opposites: Whether identities come in pairs that differ in the body alone, photo by photo; in training both
                of a pair are then shown in the same scene, without the same phrases.
            other_outfits: Whether a sample shows the target's scene in another outfit too, where there is one.
            targets: In evaluation at most so many photos of a person are targets; None: all.
            new_clothes: In evaluation, references wear none of the colours that the target's caption names; photos
                without enough such references are no targets.

        Raises:
            BolidError: if the numbers of references contradict each other.
        """
        if not 0 <= min_references <= max_references:
            raise BolidError(f"min_references={min_references} must lie between 0 and max_references={max_references}.")
        self.size, self.reference_size, self.seed, self.training = size, reference_size, seed, training
        self.min_references, self.max_references = min_references, max_references
        self.caption_dropout, self.flip = caption_dropout, flip if training else 0.0
        self.opposites, self.other_outfits = opposites, other_outfits
        self.targets, self.new_clothes = targets, new_clothes and not training
        self._targets = ViewCache(records, folder, target, size, name)
        same = not (max_references or other_outfits) or (target == "person" and size == reference_size)
        self._people = self._targets if same else ViewCache(records, folder, "person", reference_size, name)
        self._last_round: tuple[tuple[int, int], np.ndarray] = ((-1, -1), np.empty(0, int))
        self.skipped = list(dict.fromkeys(self._targets.skipped + self._people.skipped))
        self._records = list(records)
        self._proportions = _proportions(records)
        self._scenes = np.unique([r.scene or r.file_name for r in records], return_inverse=True)[1]
        self._colours = [colours(r) for r in records] if self.new_clothes else []
        self._rows = self._group(np.flatnonzero(self._targets.good & self._people.good))
        self.records = [self._records[k] for k in sorted(np.concatenate([[], *self._rows.values()]).astype(int))]
        self._identities = [i for i, rows in self._rows.items() if len(np.unique(self._scenes[rows])) > min_references]
        self._families = self._group_families(families or {})
        self._order = self._fixed_order()

    def _group(self, usable: np.ndarray) -> dict[str, np.ndarray]:
        rows: dict[str, list[int]] = defaultdict(list)
        for k in usable:
            rows[self._records[k].identity].append(int(k))
        return {identity: np.array(rows[identity]) for identity in sorted(rows)}

    def _group_families(self, families: Mapping[str, object]) -> list[np.ndarray]:
        members: dict[object, list[int]] = defaultdict(list)
        for k, identity in enumerate(self._identities):
            members[families.get(identity, (identity,))].append(k)
        return [np.array(family) for family in members.values()]

    def _fixed_order(self) -> list[int]:
        rng = np.random.default_rng([self.seed, 0])
        shuffled = [rng.permutation(self._rows[i]) for i in rng.permutation(self._identities)]
        if not self.training:
            fit = [[k for k in rows if len(self._others(k)) >= self.min_references] for rows in shuffled]
            shuffled = [np.array(rows[: self.targets], int) for rows in fit]
        rounds = max(map(len, shuffled), default=0)
        return [int(rows[k]) for k in range(rounds) for rows in shuffled if k < len(rows)]

    def __len__(self) -> int:
        """How many photos can be targets."""
        return len(self._order)

    def __getitem__(self, draw: Draw | int) -> TrainingBatch:
        """The sample of a `Draw`, or of an index in epoch 0, as a batch of one."""
        epoch, index = draw if isinstance(draw, tuple) else (0, draw)
        if not self._order or index < 0 or (index >= len(self) and not self.training):
            raise IndexError(index)
        lot = index - index % 2 if self.opposites else index
        rng = np.random.default_rng([self.seed, 1, epoch, lot])
        row = self._target(epoch, index, rng)
        references = self._references(row, self._choose(row, rng), rng)
        outfit = self._views(self._other_outfit(row, rng), int(self.other_outfits), rng)
        return self._sample(row, references, outfit, lot, rng)

    def _target(self, epoch: int, index: int, rng: np.random.Generator) -> int:
        if not self.training:
            return self._order[index]
        rounds, place = divmod(index, len(self._identities))
        identity = self._identities[self._round(epoch, rounds)[place]]
        return int(rng.choice(self._rows[identity]))

    def _round(self, epoch: int, rounds: int) -> np.ndarray:
        """The order of identities in one round of an epoch; the last one is kept, as samples ask in order."""
        key = (epoch, rounds)
        if self._last_round[0] != key:
            families = np.random.default_rng([self.seed, 2, *key]).permutation(len(self._families))
            self._last_round = key, np.concatenate([self._families[k] for k in families])
        return self._last_round[1]

    def _others(self, target: int) -> np.ndarray:
        """The photos that may be references of a target."""
        others = self._rows[self._records[target].identity]
        others = others[self._scenes[others] != self._scenes[target]]
        if self.new_clothes:
            others = others[[self._colours[k].isdisjoint(self._colours[target]) for k in others]]
        return others

    def _choose(self, target: int, rng: np.random.Generator) -> np.ndarray:
        others = self._others(target)
        most = min(self.max_references, len(others))
        count = rng.integers(self.min_references, most + 1) if self.training else most
        return rng.permutation(others)[:count]

    def _other_outfit(self, target: int, rng: np.random.Generator) -> np.ndarray:
        if not self.other_outfits:
            return np.empty(0, int)
        rows = self._rows[self._records[target].identity]
        return rng.permutation(rows[(self._scenes[rows] == self._scenes[target]) & (rows != target)])[:1]

    def _views(self, rows: np.ndarray, most: int, rng: np.random.Generator) -> Views:
        """Crops of these photos, padded to `most`: a batch of one."""
        height, width = self.reference_size
        pictures = np.zeros((most, 3, height, width), np.float32)
        keypoints = np.zeros((most, 17, 3), np.float32)
        for slot, k in enumerate(rows):
            flipped = rng.random() < self.flip
            pictures[slot] = _scale(self._people.pictures[k], flipped)
            seen, geometry = self._records[k].keypoints_seen, self._people.geometry[k]
            keypoints[slot] = _place(seen, geometry, self.reference_size, flipped)
        return Views(_batch(pictures), _batch(keypoints), _batch(np.arange(most) < len(rows)))

    def _references(self, target: int, rows: np.ndarray, rng: np.random.Generator) -> References:
        views, records = self._views(rows, self.max_references, rng), [self._records[k] for k in rows]
        faces = np.zeros((self.max_references, 512), np.float32)
        face_mask = np.zeros(self.max_references, bool)
        for slot, record in enumerate(records):
            if record.face_embedding is not None:
                faces[slot], face_mask[slot] = record.face_embedding, True
        return References(
            **vars(views),
            faces=_batch(faces),
            face_mask=_batch(face_mask),
            pose=torch.zeros(1, 17, 3),  # is the target's, which knows how it is cropped
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
        dropped = self.caption_dropout.draw(rng, record.phrases) if self.caption_dropout else frozenset()
        phrases = [Phrase(p.kind, swap_sides(p.text)) for p in record.phrases] if flipped else record.phrases
        silhouette = self._targets.silhouettes[row][:, ::-1] if flipped else self._targets.silhouettes[row]
        canonical = record.keypoints_canonical
        if canonical is None:
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
            file_names=[record.file_name],
        )


def colours(record: ImageRecord) -> frozenset[str]:
    """The colours of clothes that a photo's caption names."""
    asked = asked_for(record)
    return frozenset(asked[garment] for garment in ("shirt", "trousers") if garment in asked)


def _proportions(records: Sequence[ImageRecord]) -> np.ndarray:
    """(N, K) of all photos, not a number where unknown; K is 0 where nobody's are known."""
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
    """(1, 6): SDXL was told the photo's size, and how far into the *scaled* photo the crop began."""
    crop = max(0.0, -g.offset_y), max(0.0, -g.offset_x)
    return torch.tensor([[g.photo_height, g.photo_width, *crop, *size]], dtype=torch.float32)
