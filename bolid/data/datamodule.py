"""The data module of all tasks: loaders of `TrainingBatch` from a folder with a manifest."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.core.schema import SPLITS, ImageRecord, TrainingBatch
from bolid.data.dataset import FACE_SIZE, LeaveOneOutDataset
from bolid.data.manifest import leave_out_rejected, read_manifest
from bolid.data.sampler import EpochSampler, ResumableLoader
from bolid.data.specs import REFERENCES, SAMPLES, ReferenceSpec, SplitSpec, check_size, complete_specs
from bolid.data.splits import in_folders, leave_out_copies, split_records

log = logging.getLogger(__name__)
_NAMED = 20  # maximum number of skipped photos named in the log
# The splits that a command needs; the first must hold people.
STAGE_SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}


class IdentityDataModule(LightningDataModule):
    """Photos of people from a folder with a manifest; each identity is in exactly one split.

    The folders `train`, `val` and `test` define the splits; without them a hash of the identity does (80, 10 and 10 %,
    at least two people, see `hashed_splits`). Broken, too large or missing photos are skipped with a warning that names
    them.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int = 32,
        size: tuple[int, int] = (96, 64),
        references: ReferenceSpec = REFERENCES,
        train: SplitSpec = SAMPLES,
        val: SplitSpec | None = None,
        test: SplitSpec | None = None,
        num_workers: int = 0,
        seed: int = 0,
    ) -> None:
        """See the class.

        Args:
            folder: The top folder of the photos, with the manifest.
            batch_size: Number of samples per batch and device.
            size: Height and width of the targets in pixels.
            references: The reference photos of each sample.
            train: Settings of training samples.
            val: Settings of validation samples; null for those of training, without flips.
            test: Settings of tests and predictions; null for those of training, without flips.
            num_workers: Number of worker processes; 0 loads in the training process.
            seed: Seed of everything random about the samples.

        Raises:
            BolidError: If settings contradict each other.
        """
        super().__init__()
        if batch_size < 1 or num_workers < 0:
            raise BolidError(f"batch_size={batch_size} must be 1 or more, num_workers={num_workers} 0 or more.")
        check_size("size", size)
        self.folder, self.batch_size, self.size, self.references = Path(folder), batch_size, size, references
        self.specs = complete_specs(train, val, test)
        self.num_workers, self.seed = num_workers, seed
        self._datasets: dict[tuple[str, bool], LeaveOneOutDataset] = {}  # (split, whether to train on it)

    @property
    def shows_outfits(self) -> bool:
        """Whether training samples include the target's scene in another outfit."""
        records = self.splits["train"]
        return bool(self.specs["train"].second_outfit) and len({r.scene or r.file_name for r in records}) < len(records)

    def require(self, stage: str, people: int = 1) -> None:
        """Checks by the manifest alone, before anything else is loaded, that a stage has enough people.

        Args:
            stage: fit, validate, test or predict.
            people: Minimum number of people; a shuffled identity needs two.

        Raises:
            BolidError: If there are too few, the folder or its manifest is missing or invalid, or batches cannot be
                made.
        """
        splits = self.stage_splits(stage)
        for split in splits if stage == "test" else splits[:1]:
            scenes: dict[str, set[str]] = defaultdict(set)
            for record in self.splits[split]:
                scenes[record.identity].add(record.scene or record.file_name)
            able = sum(len(own) > self.references.min for own in scenes.values())
            least = people if split == splits[0] else 1
            if able < least:
                raise self._too_few(split, able, least)
        if stage == "fit":
            self._check_batches(max(Counter(r.group for r in self.splits["train"] if r.group).values(), default=1))

    def _check_batches(self, group_size: int) -> None:
        samples = self.specs["train"].samples_per_epoch
        if samples and samples < self.batch_size:
            raise BolidError(
                f"data.train.samples_per_epoch={samples} does not fill a batch: set it to data.batch_size="
                f"{self.batch_size} or more."
            )
        if self.batch_size % group_size:
            raise BolidError(
                f"{self.folder}: its photos to train on come in groups of {group_size}: set data.batch_size="
                f"{self.batch_size} to a multiple of that."
            )

    def prepare_data(self) -> None:
        """Makes the resized copies on one rank, so that the others find them.

        Raises:
            BolidError: If the folder or its manifest is missing or invalid.
        """
        for split in self.needed():
            self._dataset(split, training=split == "train" and self._command() != "test")
        self._datasets.clear()

    def needed(self) -> Sequence[str]:
        """The splits that the trainer's command needs; all without a trainer."""
        return self.stage_splits(self._command())

    def _command(self) -> str:
        """fit, validate, test or predict; empty without a trainer."""
        command = self.trainer.state.fn if self.trainer is not None else None
        return command.value if command else ""

    def stage_splits(self, stage: str) -> Sequence[str]:
        """The splits that a stage needs; the first must hold people."""
        if stage == "test" and self.specs["test"].probe:
            return "test", "train"
        return STAGE_SPLITS.get(stage, SPLITS)

    def setup(self, stage: str | None = None) -> None:
        """Loads the splits of a stage: fit, validate, test or predict.

        Raises:
            BolidError: If the folder or its manifest is missing or invalid.
        """
        for split in self.stage_splits(stage or ""):
            key = split, split == "train" and stage != "test"
            if key not in self._datasets:
                self._datasets[key] = self._dataset(*key)
                self._report(*key)

    @cached_property
    def splits(self) -> dict[str, list[ImageRecord]]:
        """The manifest's records by split; raises as `read_splits`."""
        return self.read_splits()

    @property
    def face_model(self) -> str:
        """Fingerprint of the network that embedded the faces; empty without faces."""
        records = (r for split in self.splits.values() for r in split)
        return next((r.face_model for r in records if r.face_embedding is not None), "")

    def read_splits(self) -> dict[str, list[ImageRecord]]:
        """Reads the manifest and splits its records into train, val and test.

        Raises:
            BolidError: If an identity is in two splits, or face embeddings come from different networks.
        """
        records = leave_out_rejected(self.read_records(), self.folder)
        kinds = {(r.face_model, len(r.face_embedding)) for r in records if r.face_embedding is not None}
        if len(kinds) > 1:
            raise BolidError(f"{self.folder}: face embeddings of different networks are mixed; annotate it anew.")
        splits = split_records(records, self.folder)
        kept = set(map(id, leave_out_copies(records, self.folder)))
        return {split: [r for r in rows if id(r) in kept] for split, rows in splits.items()}

    def read_records(self) -> list[ImageRecord]:
        """Reads the folder's whole manifest."""
        return read_manifest(self.folder)

    def families(self, split: str = "train") -> Mapping[str, str]:
        """Identity -> family of identities that differ in the body alone (hard negatives); empty without families."""
        return {r.identity: r.family for r in self.splits[split] if r.family}

    def train_dataloader(self) -> DataLoader[TrainingBatch]:
        """Random samples fixed by the seed; resumes in the middle of an epoch."""
        dataset = self._people("train", training=True)
        need = self.batch_size * (self.trainer.world_size if self.trainer else 1)
        samples = self.specs["train"].samples_per_epoch or max(len(dataset), need)
        if samples < need:
            raise BolidError(
                f"train.samples_per_epoch={samples} does not fill a batch on every device; set {need} or more."
            )
        sampler = self._sampler(samples, dataset)
        return ResumableLoader(dataset, sampler=sampler, drop_last=True, **self._loader_arguments())

    def val_dataloader(self) -> DataLoader[TrainingBatch] | list:
        """Every photo with enough references once, in a fixed order; no loader without validation people."""
        return self._eval_dataloader("val") if len(self._datasets["val", False]) else []

    def test_dataloader(self) -> DataLoader[TrainingBatch] | list:
        """See `val_dataloader`, for the test split; with `probe`, a second loader of training people."""
        loaders = [self._eval_dataloader(split) for split in self.stage_splits("test")]
        return loaders if len(loaders) > 1 else loaders[0]

    def predict_dataloader(self) -> DataLoader[TrainingBatch]:
        """See `val_dataloader`, for the test split."""
        return self._eval_dataloader("test")

    def _eval_dataloader(self, split: str) -> DataLoader[TrainingBatch]:
        dataset = self._people(split)
        return DataLoader(dataset, sampler=self._sampler(len(dataset), dataset), **self._loader_arguments())

    def _sampler(self, samples: int, dataset: LeaveOneOutDataset) -> EpochSampler:
        ranks = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        return EpochSampler(samples, self.batch_size, dataset.training, *ranks, together=dataset.group_size)

    def _loader_arguments(self) -> dict:
        return {
            "batch_size": self.batch_size,
            "num_workers": self.num_workers,
            "persistent_workers": self.num_workers > 0,
            "collate_fn": TrainingBatch.cat,
            "pin_memory": torch.cuda.is_available(),
        }

    def _dataset(self, split: str, training: bool) -> LeaveOneOutDataset:
        tests = not training and split != "val"
        records = self.splits[split]
        if tests:  # a probe's training people are loaded like test people: in another outfit in every photo
            records = list({r.scene or r.file_name: r for r in reversed(records)}.values())[::-1]
        spec = self.specs["test" if tests else split]
        name = f"{split}-probe" if tests and split != "test" else split
        faces = (len(r.face_embedding) for s in self.splits.values() for r in s if r.face_embedding is not None)
        return LeaveOneOutDataset(
            records, self.folder, self.size, self.references, spec, training, self.seed, name, next(faces, FACE_SIZE)
        )

    def _report(self, split: str, training: bool) -> None:
        dataset = self._datasets[split, training]
        for message in dataset.skipped[:_NAMED]:
            log.warning("skipped %s", message)
        if dataset.skipped:
            log.warning("%s of %s photos of %s were skipped", len(dataset.skipped), len(self.splits[split]), split)
        if dataset.left_out:
            log.warning(
                "%s photos of %s are no targets: another one of their group cannot be used", dataset.left_out, split
            )

    def _people(self, split: str, training: bool = False) -> LeaveOneOutDataset:
        dataset = self._datasets[split, training]
        if not len(dataset):
            raise self._too_few(split)
        return dataset

    def _too_few(self, split: str, people: int = 0, needed: int = 1) -> BolidError:
        who = f"only {people} of {split} has" if people else f"no one in {split} has"
        need = f"{self.folder}: {who} {self.references.min + 1} or more usable photos"
        if people:
            need += f", and {needed} people are needed to shuffle identities"
        if in_folders([r for records in self.splits.values() for r in records]):
            rule = "the folders train, val and test define the splits"
            return BolidError(f"{need}; {rule}: add people to {self.folder / split} and annotate anew.")
        rule = "a hash of the name defines the splits: of 4 people on two or more test, of 6 on others validate"
        remedy = f"add people, or move every person's folder into {self.folder}/train, val or test, and annotate anew"
        return BolidError(f"{need}; {rule}; {remedy}.")
