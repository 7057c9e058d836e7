"""The data module of rendered people, which renders missing photos."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
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
from bolid.data.manifest import MANIFEST, split_of
from bolid.synthetic.known import scene, with_known
from bolid.synthetic.measures import PEOPLE, read_bodies
from bolid.synthetic.specs import RENDERED, RenderedSpec

log = logging.getLogger(__name__)


class RenderedPeople(IdentityDataModule):
    """Rendered people, each identified by a number; missing photos are rendered before training, and kept.

    A folder may hold further people, which are unused.
    """

    def __init__(self, folder: Path, rendered: RenderedSpec = RENDERED, **kwargs: Any) -> None:
        """See the class.

        Args:
            folder: Folder of the photos, existing or not.
            rendered: Settings of the rendered people and their photos.
            kwargs: See `IdentityDataModule`.

        Raises:
            BolidError: If settings contradict each other.
        """
        super().__init__(folder, **kwargs)
        self.rendered = rendered.completed()
        self.people = self.rendered.people()

    def require(self, stage: str, people: int = 1) -> None:
        """Refuses a stage for which too few people or photos are configured; missing ones will be rendered.

        Args:
            stage: fit, validate, test or predict.
            people: Minimum number of people.

        Raises:
            BolidError: If there are too few, or batches cannot be made.
        """
        splits = self.stage_splits(stage)
        for split in splits if stage == "test" else splits[:1]:
            asked, least, name = self.people[split], people if split == splits[0] else 1, f"data.rendered.{split}"
            if not asked.people:
                raise BolidError(f"{name}.people is 0, so there are no people to {stage} on; set {name}.people.")
            if asked.people < least:
                raise BolidError(
                    f"{name}.people is {asked.people}, and {least} are needed to shuffle identities; raise it."
                )
            if (asked.photos or 0) <= self.references.min:
                raise BolidError(
                    f"{name}.photos={asked.photos} leaves fewer than data.references.min={self.references.min} other "
                    "photos of a person; raise the one or lower the other."
                )
        if stage == "fit":
            self._check_batches(2 if self.rendered.pairs else 1)

    def prepare_data(self) -> None:
        """Renders missing photos, embeds faces, and makes the resized copies; on one rank only.

        Raises:
            BolidError: If the renderer is not installed, or the folder's photos were rendered with other settings.
        """
        records = self._records()
        self._check_photos(records)
        lacking = [split for split in self.needed() if self._lacks(split, records)]
        self._check_version(records, extend=bool(lacking))
        for split in lacking:
            self._render(split)
        if self.rendered.face_embedder is not None:
            self._label_faces(self.rendered.face_embedder)
        self._read_anew()
        if self.rendered.pose_estimator is not None:
            self._find_keypoints(self.rendered.pose_estimator)
        super().prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """See the base class; includes photos rendered since an earlier command."""
        self._read_anew()
        super().setup(stage)

    def _read_anew(self) -> None:
        vars(self).pop("splits", None)

    def read_splits(self) -> dict[str, list[ImageRecord]]:
        """The records of the configured people, by split."""
        wanted = {split: {person_name(p) for p in people.numbers()} for split, people in self.people.items()}
        found = super().read_splits()
        kept = {split: [r for r in found[split] if r.identity in wanted[split]] for split in SPLITS}
        if self.rendered.pairs and kept["train"] and not any(r.group for r in kept["train"]):
            raise BolidError(
                f"{self.folder}: its photos of train are no pairs; set rendered.pairs to false, or render."
            )
        if self.rendered.pose_estimator is None:
            return kept
        places = read_found(found_table(self.folder, self._pose_fingerprint()))
        return {split: [replace(r, keypoints_found=places.get(r.file_name)) for r in kept[split]] for split in SPLITS}

    def read_records(self) -> list[ImageRecord]:
        """Reads the folder's whole manifest; fields that an older format lacks are derived from names and captions."""
        records = super().read_records()
        if not any(r.renderer and not r.scene for r in records):
            return records
        bodies = read_bodies(self.folder) if (self.folder / PEOPLE).is_file() else {}
        known = [r for r in records if not split_of(r.file_name)]
        for split, people in self.people.items():
            here = [r for r in records if split_of(r.file_name) == split]
            known += with_known(here, bodies, self._pairs(split), people.families)
        return known

    def _records(self) -> list[ImageRecord]:
        places = (self.folder / split / MANIFEST for split in ("", *SPLITS))
        return self.read_records() if any(p.is_file() for p in places) else []

    def _lacks(self, split: str, records: Sequence[ImageRecord]) -> bool:
        asked, here = self.people[split], [r for r in records if split_of(r.file_name) == split]
        outfits = Counter(scene(r.file_name) for r in here)
        scenes = {scene(r.file_name): r.identity for r in here if outfits[scene(r.file_name)] >= asked.outfits}
        counts = Counter(scenes.values())
        return any(counts[person_name(p)] < (asked.photos or 0) for p in asked.numbers())

    def _check_photos(self, records: Sequence[ImageRecord]) -> None:
        """Refuses a folder of photos with other settings."""
        for record in records[:1]:
            width, height = open_picture(resolve_inside(self.folder, record.file_name)).size
            if (height, width) != tuple(self.rendered.photo_size):
                raise BolidError(
                    f"{self.folder}: its photos are {height}x{width} pixels, not {self.rendered.photo_size}; "
                    "set rendered.photo_size to that, or choose another folder."
                )
        for split in self.needed():
            self._check_rendering(split)

    def _check_rendering(self, split: str) -> None:
        from bolid.synthetic.people.dataset import how_rendered

        options = {"framing": self.people[split].framing, "opposites": self._pairs(split)}
        for person, (option, wanted) in product(self.people[split].numbers()[:1], options.items()):
            found = how_rendered(self.folder, split, person).get(option, wanted)
            if found != wanted:
                raise BolidError(
                    f"{self.folder}: its photos of {split} were rendered with {option} {found!r}, not {wanted!r}; "
                    "set that, or choose another folder."
                )

    def _pairs(self, split: str) -> bool:
        return self.rendered.pairs and split == "train"

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
        log.info("rendering %s people of %s into %s", people.people, split, self.folder)
        height, width = self.rendered.photo_size
        try:
            from bolid.synthetic.people import render_people

            render_people(
                self.folder, people.numbers(), people.photos or 0, height, width, split=split,
                framing=str(people.framing), outfits=people.outfits, families=people.families,
                workers=self.rendered.workers, opposites=self._pairs(split), seed=self.rendered.seed,
                companions=people.companions,
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

        remedy = "set data.rendered.pose_estimator to the folder of a pose network"
        return sha256(find_folder(str(self.rendered.pose_estimator), WEIGHTS, remedy) / WEIGHTS)

    def _label_faces(self, weights: Path) -> None:
        from bolid.core.paths import resolve
        from bolid.core.safe_io import sha256
        from bolid.vision.face import FaceEmbedder

        path = resolve(weights)
        fingerprint = sha256(path) if path.is_file() else None
        embed_faces(self._records(), self.folder, lambda: FaceEmbedder(path), fingerprint)


def person_name(person: int) -> str:
    """The identity of a rendered person's number."""
    return f"p{person:06d}"
