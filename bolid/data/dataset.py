"""Photos to samples: one photo of an identity is the target, others of the same identity are its references."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bolid.core import keypoints as kp
from bolid.core.errors import BolidError
from bolid.core.schema import ImageRecord, Phrase, TrainingBatch, compose_caption
from bolid.data.cache import Geometry, View, ViewCache
from bolid.data.caption_dropout import CaptionDropout, swap_sides
from bolid.data.sampler import Draw
from bolid.synthetic.wording import attributes

log = logging.getLogger(__name__)
OUTFIT = re.compile(r"(.*_\d+)[b-z]?\.png")


@dataclass
class References:
    """Up to M photos of one person, padded; shapes as in `TrainingBatch`, without B."""

    pictures: np.ndarray
    keypoints: np.ndarray
    mask: np.ndarray
    faces: np.ndarray
    face_mask: np.ndarray
    names: list[str]
    captions: list[str]


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
        self._scenes = np.unique([scene(r) for r in records], return_inverse=True)[1]
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
        references = self._references(self._choose(row, rng), self.max_references, rng)
        outfit = self._references(self._other_outfit(row, rng), int(self.other_outfits), rng)
        return self._sample(row, references, outfit, rng)

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

    def _references(self, rows: np.ndarray, most: int, rng: np.random.Generator) -> References:
        height, width = self.reference_size
        found = References(
            pictures=np.zeros((most, 3, height, width), np.float32),
            keypoints=np.zeros((most, 17, 3), np.float32),
            mask=np.arange(most) < len(rows),
            faces=np.zeros((most, 512), np.float32),
            face_mask=np.zeros(most, bool),
            names=[self._records[k].file_name for k in rows],
            captions=[compose_caption(self._records[k].phrases) for k in rows],
        )
        for slot, k in enumerate(rows):
            record, flipped = self._records[k], rng.random() < self.flip
            found.pictures[slot] = _scale(self._people.pictures[k], flipped)
            found.keypoints[slot] = _place(
                record.keypoints_seen, self._people.geometry[k], self.reference_size, flipped
            )
            if record.face_embedding is not None:
                found.faces[slot], found.face_mask[slot] = record.face_embedding, True
        return found

    def _sample(self, row: int, references: References, outfit: References, rng: np.random.Generator) -> TrainingBatch:
        record, flipped = self._records[row], rng.random() < self.flip
        geometry = Geometry(*self._targets.geometry[row])
        caption, full_caption = self._captions(record.phrases, flipped, rng)
        silhouette = self._targets.silhouettes[row][:, ::-1] if flipped else self._targets.silhouettes[row]
        canonical = record.keypoints_canonical
        if canonical is None:
            canonical = kp.retarget(record.keypoints, rng)
        return TrainingBatch(
            pictures=_batch(_scale(self._targets.pictures[row], flipped)),
            captions=[caption],
            full_captions=[full_caption],
            keypoints=_batch(_place(record.keypoints, geometry, self.size, flipped)),
            keypoints_found=_batch(_place(record.keypoints_seen, geometry, self.size, flipped)),
            keypoints_canonical=_batch(_place(canonical, geometry, self.size, flipped)),
            silhouettes=_batch(silhouette[None].astype(np.float32) / 255),
            silhouette_known=torch.tensor([record.silhouette is not None]),
            time_ids=_time_ids(geometry, self.size),
            reference_pictures=_batch(references.pictures),
            reference_keypoints=_batch(references.keypoints),
            reference_mask=_batch(references.mask),
            outfit_pictures=_batch(outfit.pictures),
            outfit_keypoints=_batch(outfit.keypoints),
            outfit_mask=_batch(outfit.mask),
            reference_faces=_batch(references.faces),
            face_mask=_batch(references.face_mask),
            identities=[record.identity],
            file_names=[record.file_name],
            reference_names=[references.names],
            reference_captions=[references.captions],
        )

    def _captions(self, phrases: Sequence[Phrase], flipped: bool, rng: np.random.Generator) -> tuple[str, str]:
        if flipped:
            phrases = [Phrase(p.kind, swap_sides(p.text)) for p in phrases]
        dropped = self.caption_dropout.draw(rng, phrases) if self.caption_dropout else frozenset()
        return compose_caption(phrases, dropped), compose_caption(phrases)


def scene(record: ImageRecord) -> str:
    """What a rendered photo shows but for the outfit, `p000123_0` of `p000123_0b.png`; of others the photo itself."""
    outfit = OUTFIT.fullmatch(record.file_name) if record.renderer else None
    return outfit[1] if outfit else record.file_name


def colours(record: ImageRecord) -> frozenset[str]:
    """The colours of clothes that a photo's caption names."""
    said = attributes(compose_caption(record.phrases))
    return frozenset(said[garment] for garment in ("shirt", "trousers") if garment in said)


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
