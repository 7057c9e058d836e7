"""The DataModule of rendered people: it makes its own photos when they are not there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError
from bolid.core.safe_io import open_picture, resolve_inside
from bolid.core.schema import SPLITS, ImageRecord
from bolid.data.annotate.faces import embed_faces
from bolid.data.annotate.found import find_keypoints, found_table, read_found
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import MANIFEST, read_manifest, split_of
from bolid.synthetic.known import scene, with_known
from bolid.synthetic.measures import PEOPLE, read_bodies
from bolid.synthetic.render import RESERVED

log = logging.getLogger(__name__)


class RenderedPeople(IdentityDataModule):
    """Rendered people, each a number; the photos that are missing are rendered before training, and kept.

    A folder may hold more people than are asked for; the others are left alone and unused.
    """

    def __init__(
        self,
        folder: Path,
        train_first: int = 200_000,
        train_people: int = 256,
        val_first: int | None = None,
        val_people: int = 16,
        test_first: int = RESERVED,
        test_people: int = 64,
        photos: int = 4,
        eval_photos: int | None = None,
        photo_size: tuple[int, int] = (528, 352),
        framing: str = "mixed",
        eval_framing: str | None = None,
        outfits: int = 1,
        families: int = 0,
        test_families: int = 0,
        opposites: bool = False,
        render_workers: int = 2,
        render_seed: int = 0,
        face_embedder: Path | None = None,
        pose_estimator: Path | None = None,
        **kwargs: Any,
    ) -> None:
        """See the class.

        Args:
            folder: Where the photos are, or will be.
            train_first: Number of the first person to train on.
            train_people: How many people to train on.
            val_first: Number of the first person to validate on; null: 90,000 after the first to train on.
            val_people: How many people to validate on.
            test_first: Number of the first person to test on, 900000 or more.
            test_people: How many people to test on.
            photos: Photos of each person.
            eval_photos: Photos of each person to validate and test on; null: as many.
            photo_size: Height and width of the photos in pixels.
            framing: Which part of the person photos show, as the renderer calls it.
            eval_framing: The same of photos to validate and test on; null: as `framing`.
            outfits: 2 draws every photo to train and validate on in a second outfit too.
            families: How many consecutive people to train on share head, skin and hair (2: twins); 0: nobody. Batches
                hold them together.
            test_families: The same of the people to test on.
            opposites: Whether people to train on come in pairs, of which the second has the opposite body and all else
                as the first, scenes too; both of the same photo follow each other, and tasks give them the same noise.
            render_workers: Processes that render.
            render_seed: Of everything random about the photos, given the person.
            face_embedder: The ONNX face recogniser that labels the faces once rendered; null leaves them without.
            pose_estimator: Folder of the pose network by which encoders are told people's poses, as they are where
                photos are users'; null: they are told the true ones.
            kwargs: As for `IdentityDataModule`.

        Raises:
            BolidError: if people to train or validate on are among those reserved for testing, or splits overlap.
        """
        super().__init__(folder, **kwargs)
        val_first = train_first + 90_000 if val_first is None else val_first
        self.people = {
            "train": range(train_first, train_first + train_people),
            "val": range(val_first, val_first + val_people),
            "test": range(test_first, test_first + test_people),
        }
        self.photos = {"train": photos} | dict.fromkeys(("val", "test"), eval_photos or photos)
        self.photo_size, self.face_embedder, self.pose_estimator = photo_size, face_embedder, pose_estimator
        self.render_workers, self.render_seed = render_workers, render_seed
        self._framing = {"train": framing} | dict.fromkeys(("val", "test"), eval_framing or framing)
        self._outfits = {"train": outfits, "val": outfits, "test": 1}
        self._families = {"train": families, "val": 0, "test": test_families}
        self.opposites = opposites
        self._check_people()

    def require(self, stage: str) -> None:
        """Photos that are missing will be rendered; all there can lack is people.

        Raises:
            BolidError: if none were asked for.
        """
        split = self.stage_splits(stage)[0]
        if not self.people[split]:
            raise BolidError(f"{split}_people is 0, so there is nobody to {stage} on; set data.{split}_people.")

    def prepare_data(self) -> None:
        """Renders what the verb lacks, labels faces, makes the working-size copies; on one rank only.

        Raises:
            BolidError: if the renderer is not installed, or the folder's photos were made otherwise.
        """
        records = self._records()
        self._check_photos(records)
        lacking = [split for split in self.needed() if self._lacks(split, records)]
        self._check_version(records, extend=bool(lacking))
        for split in lacking:
            self._render(split)
        if self.face_embedder is not None:
            self._label_faces(self.face_embedder)
        self._read_anew()
        if self.pose_estimator is not None:
            self._find_keypoints(self.pose_estimator)
        super().prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """As the parent's, with what was rendered since an earlier verb."""
        self._read_anew()
        super().setup(stage)

    def _read_anew(self) -> None:
        vars(self).pop("splits", None)

    def read_splits(self) -> dict[str, list[ImageRecord]]:
        """The records of the people asked for, by split."""
        wanted = {split: {person_name(p) for p in people} for split, people in self.people.items()}
        found = super().read_splits()
        bodies = read_bodies(self.folder) if (self.folder / PEOPLE).is_file() else {}
        kept = {
            split: with_known([r for r in found[split] if r.identity in wanted[split]], bodies, self._opposites(split))
            for split in SPLITS
        }
        if self.pose_estimator is None:
            return kept
        places = read_found(found_table(self.folder, self._pose_fingerprint()))
        return {split: [replace(r, keypoints_found=places.get(r.file_name)) for r in kept[split]] for split in SPLITS}

    def families(self, split: str = "train") -> Mapping[str, object]:
        """Twins by the rule of the renderer: so many consecutive numbers; opposites are family."""
        size = max(self._families[split], 2 * self._opposites(split))
        return {person_name(p): p // size for p in self.people[split]} if size > 1 else {}

    def _check_people(self) -> None:
        for split in ("train", "val"):
            people = self.people[split]
            if people and people[-1] >= RESERVED:
                raise BolidError(f"people from {RESERVED} on are reserved for testing; {split} reaches {people[-1]}.")
        if self.people["test"] and self.people["test"][0] < RESERVED:
            raise BolidError(f"test_first={self.people['test'][0]} must be {RESERVED} or more.")
        train, val = self.people["train"], self.people["val"]
        if set(train) & set(val):
            raise BolidError("the people to train on and to validate on overlap; move val_first.")
        if self.opposites and (train.start % 2 or train.stop % 2 or self.batch_size % 2):
            raise BolidError(
                f"opposites are an even number and the next: train_first={train.start}, train_people={len(train)} and "
                f"batch_size={self.batch_size} must be even."
            )

    def _records(self) -> list[ImageRecord]:
        places = (self.folder / split / MANIFEST for split in ("", *SPLITS))
        return read_manifest(self.folder) if any(p.is_file() for p in places) else []

    def _lacks(self, split: str, records: Sequence[ImageRecord]) -> bool:
        here = [r for r in records if split_of(r.file_name) == split]
        outfits = Counter(scene(r.file_name) for r in here)
        scenes = {scene(r.file_name): r.identity for r in here if outfits[scene(r.file_name)] >= self._outfits[split]}
        counts = Counter(scenes.values())
        return any(counts[person_name(p)] < self.photos[split] for p in self.people[split])

    def _check_photos(self, records: Sequence[ImageRecord]) -> None:
        """A folder made with another configuration must not pass for this one's."""
        for record in records[:1]:
            width, height = open_picture(resolve_inside(self.folder, record.file_name)).size
            if (height, width) != tuple(self.photo_size):
                raise BolidError(
                    f"{self.folder}: its photos are {height}x{width} pixels, not {self.photo_size}; "
                    "set photo_size to that, or choose another folder."
                )
        for split in self.needed():
            self._check_rendering(split)

    def _check_rendering(self, split: str) -> None:
        from bolid.synthetic.people.dataset import how_rendered

        options = {"framing": self._framing[split].replace("_", " "), "opposites": self._opposites(split)}
        for person, (option, wanted) in product(self.people[split][:1], options.items()):
            found = how_rendered(self.folder, split, person).get(option, wanted)
            if found != wanted:
                raise BolidError(
                    f"{self.folder}: its photos of {split} were rendered with {option} {found!r}, not {wanted!r}; "
                    "set that, or choose another folder."
                )

    def _opposites(self, split: str) -> bool:
        return self.opposites and split == "train"

    def _check_version(self, records: Sequence[ImageRecord], extend: bool) -> None:
        from bolid.synthetic.people import RENDERER_VERSION

        versions = ", ".join(str(v) for v in sorted({r.renderer for r in records} - {RENDERER_VERSION}))
        if versions and extend:
            raise BolidError(
                f"{self.folder}: lacks photos, and holds those of renderer version {versions}, which this one, version "
                f"{RENDERER_VERSION}, does not draw; choose a new folder."
            )
        if versions:
            log.warning(
                "%s: photos of renderer version %s, used as they are; this is version %s",
                self.folder, versions, RENDERER_VERSION,
            )  # fmt: skip

    def _render(self, split: str) -> None:
        people = self.people[split]
        log.info("rendering %s people of %s into %s", len(people), split, self.folder)
        height, width = self.photo_size
        try:
            from bolid.synthetic.people import render_people

            render_people(
                self.folder, people, self.photos[split], height, width, split=split, framing=self._framing[split],
                outfits=self._outfits[split], families=self._families[split], workers=self.render_workers,
                opposites=self._opposites(split), seed=self.render_seed,
            )  # fmt: skip
        except ImportError as error:
            raise BolidError(
                f"{self.folder}: no photos of {split} here, and the renderer is not installed ({error}); "
                "run `pip install bolid[people]`."
            ) from error

    def _find_keypoints(self, weights: Path) -> None:
        from bolid.vision.pose import PoseEstimator

        records = [r for split in self.needed() for r in self.splits[split]]
        find_keypoints(records, self.folder, lambda: PoseEstimator(weights), self._pose_fingerprint())
        self._read_anew()

    def _pose_fingerprint(self) -> str:
        from bolid.core.paths import find_folder
        from bolid.core.safe_io import sha256
        from bolid.vision.pose import WEIGHTS

        remedy = "set data.pose_estimator to the folder of a pose network"
        return sha256(find_folder(str(self.pose_estimator), WEIGHTS, remedy) / WEIGHTS)

    def _label_faces(self, weights: Path) -> None:
        from bolid.core.paths import resolve
        from bolid.core.safe_io import sha256
        from bolid.vision.face import FaceEmbedder

        path = resolve(weights)
        fingerprint = sha256(path) if path.is_file() else None
        embed_faces(self._records(), self.folder, lambda: FaceEmbedder(path), fingerprint)


def person_name(person: int) -> str:
    """The identity that a rendered person's number stands for."""
    return f"p{person:06d}"
