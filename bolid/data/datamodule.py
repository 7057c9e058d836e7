"""The DataModule of every task: a folder with a manifest to loaders of `TrainingBatch`."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.core.schema import SPLITS, ImageRecord, TrainingBatch
from bolid.data.cache import View
from bolid.data.caption_dropout import CaptionDropout
from bolid.data.dataset import LeaveOneOutDataset
from bolid.data.manifest import read_manifest, split_of
from bolid.data.sampler import EpochSampler, ResumableLoader

log = logging.getLogger(__name__)
_NAMED = 20  # skipped photos that are named one by one
Split = Literal["train", "val", "test"]
# The splits a verb needs; the first must hold people.
STAGE_SPLITS = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",), "predict": ("test",)}


class IdentityDataModule(LightningDataModule):
    """Photos of people from a folder with a manifest; nobody is in two splits.

    The folders `train`, `val` and `test` decide who is in which; without them a hash of the identity does (80, 10 and
    10 %).
    Photos that are broken, huge or missing are skipped with a warning that names them.
    """

    def __init__(
        self,
        folder: Path,
        batch_size: int = 32,
        size: tuple[int, int] = (96, 64),
        reference_size: tuple[int, int] = (96, 64),
        target: View = "frame",
        min_references: int = 1,
        max_references: int = 4,
        caption_dropout: CaptionDropout | None = None,
        eval_dropout: CaptionDropout | None = None,
        flip: float = 0.5,
        samples_per_epoch: int | None = None,
        num_workers: int = 0,
        seed: int = 0,
        test_splits: tuple[Split, ...] = ("test",),
        test_target: View | None = None,
        other_outfits: bool = False,
        test_targets: int | None = None,
        test_new_clothes: bool = False,
    ) -> None:
        """See the class.

        Args:
            folder: The top folder of the photos, with the manifest.
            batch_size: Samples of a batch on one device.
            size: Height and width of the targets in pixels.
            reference_size: Height and width of the references in pixels.
            target: frame: the whole photo, cut to the aspect; person: cropped to the person, as references are.
            min_references: People with fewer other photos than this are no targets; 0 takes single photos too.
            max_references: References of a sample at most; 0 for none.
            caption_dropout: How often phrases are left out of the captions in training; null leaves all in.
            eval_dropout: The same for validation and test (with fixed draws); null: as in training.
            flip: Probability of mirroring each picture in training.
            samples_per_epoch: Samples of a training epoch; null: one per possible target, at least one batch.
            num_workers: Processes that make batches; 0 makes them in the training process.
            seed: Of everything random about the samples.
            test_splits: Whom `bolid test` is shown, a loader each; first those who are tested. A probe is fitted on the
                training people, and wants [test, train].
            test_target: As `target`, in tests; null: the same.
            other_outfits: Whether samples show the target in another outfit too (of folders rendered with two outfits).
            test_targets: At most so many photos of a person are targets of a test, and the others references only.
            test_new_clothes: Whether references of a test wear none of the colours that the target's caption names.
        """
        super().__init__()
        self.folder, self.batch_size, self.size, self.reference_size = Path(folder), batch_size, size, reference_size
        self.target, self.min_references, self.max_references = target, min_references, max_references
        self.caption_dropout, self.eval_dropout = caption_dropout, eval_dropout or caption_dropout
        self.flip, self.samples_per_epoch, self.num_workers, self.seed = flip, samples_per_epoch, num_workers, seed
        self.test_splits, self.test_target, self.other_outfits = test_splits, test_target or target, other_outfits
        self.test_targets, self.test_new_clothes = test_targets, test_new_clothes
        self.opposites = False  # whether people to train on come in pairs of opposite bodies
        self._datasets: dict[tuple[str, bool], LeaveOneOutDataset] = {}  # (split, whether to train on it)

    @property
    def shows_outfits(self) -> bool:
        """Whether training samples show somebody in another outfit."""
        records = self.splits["train"]
        return self.other_outfits and len({r.scene or r.file_name for r in records}) < len(records)

    def require(self, stage: str) -> None:
        """Tells from the manifest alone, before anything else is loaded, whether a stage has people.

        Raises:
            BolidError: if it has none, or the folder or its manifest is missing or unfit.
        """
        split = self.stage_splits(stage)[0]
        photos = Counter(r.identity for r in self.splits[split])
        if max(photos.values(), default=0) <= self.min_references:
            raise self._nobody(split)

    def prepare_data(self) -> None:
        """Makes the working-size copies, on one rank, so that the others find them.

        Raises:
            BolidError: if the folder or its manifest is missing or unfit.
        """
        for split in self.needed():
            self._dataset(split, training=split == "train" and self._verb() != "test")
        self._datasets.clear()

    def needed(self) -> Sequence[str]:
        """The splits that the trainer's verb needs; all without a trainer."""
        return self.stage_splits(self._verb())

    def _verb(self) -> str:
        """fit, validate, test or predict; empty without a trainer."""
        verb = self.trainer.state.fn if self.trainer is not None else None
        return verb.value if verb else ""

    def stage_splits(self, stage: str) -> Sequence[str]:
        """The splits that a verb needs; the first must hold people."""
        return self.test_splits if stage == "test" else STAGE_SPLITS.get(stage, SPLITS)

    def setup(self, stage: str | None = None) -> None:
        """Loads the splits of a stage: fit, validate, test or predict.

        Raises:
            BolidError: if the folder or its manifest is missing or unfit.
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
        """Fingerprint of the network that embedded the faces; empty where there are no faces."""
        records = (r for split in self.splits.values() for r in split)
        return next((r.face_model for r in records if r.face_embedding is not None), "")

    def read_splits(self) -> dict[str, list[ImageRecord]]:
        """Reads the manifest and deals its records out to train, val and test.

        Raises:
            BolidError: if an identity is in two splits, or face embeddings come from different networks.
        """
        records = read_manifest(self.folder)
        models = {r.face_model for r in records if r.face_embedding is not None}
        if len(models) > 1:
            raise BolidError(f"{self.folder}: face embeddings of different networks are mixed; label the folder anew.")
        return split_records(records, self.folder)

    def families(self, split: str = "train") -> Mapping[str, object]:
        """Families of identities that look alike in all but the body, where a data set has them; see the dataset."""
        return {}

    def train_dataloader(self) -> DataLoader[TrainingBatch]:
        """Endless chance, fixed by the seed; resumes in the middle of an epoch."""
        dataset = self._people("train", training=True)
        need = self.batch_size * (self.trainer.world_size if self.trainer else 1)
        samples = self.samples_per_epoch or max(len(dataset), need)
        if samples < need:
            raise BolidError(f"samples_per_epoch={samples} does not fill a batch on every device; set {need} or more.")
        sampler = self._sampler(samples, training=True)
        return ResumableLoader(dataset, sampler=sampler, drop_last=True, **self._loader_arguments())

    def val_dataloader(self) -> DataLoader[TrainingBatch] | list:
        """Every photo with enough others once, in a fixed order; no loader where nobody is held out."""
        return self._eval_dataloader("val") if len(self._datasets["val", False]) else []

    def test_dataloader(self) -> DataLoader[TrainingBatch] | list:
        """As `val_dataloader`, for the people of the test splits; one loader where there is one split."""
        loaders = [self._eval_dataloader(split) for split in self.test_splits]
        return loaders if len(loaders) > 1 else loaders[0]

    def predict_dataloader(self) -> DataLoader[TrainingBatch]:
        """As `val_dataloader`, for the people of the test split."""
        return self._eval_dataloader("test")

    def _eval_dataloader(self, split: str) -> DataLoader[TrainingBatch]:
        dataset = self._people(split)
        return DataLoader(dataset, sampler=self._sampler(len(dataset), training=False), **self._loader_arguments())

    def _sampler(self, samples: int, training: bool) -> EpochSampler:
        ranks = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        together = 2 if self.opposites and training else 1
        return EpochSampler(samples, self.batch_size, training, *ranks, together)

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
        if tests:  # a probe of training people sees them as those who are tested: in another outfit in every photo
            records = list({r.scene or r.file_name: r for r in reversed(records)}.values())[::-1]
        return LeaveOneOutDataset(
            records,
            self.folder,
            self.size,
            self.reference_size,
            self.test_target if tests else self.target,
            self.min_references,
            self.max_references,
            self.caption_dropout if training else self.eval_dropout,
            self.flip,
            training,
            self.seed,
            name=f"{split}-probe" if tests and split != "test" else split,
            families=self.families() if training else None,
            opposites=self.opposites and training,
            other_outfits=self.other_outfits,
            targets=self.test_targets if tests else None,
            new_clothes=self.test_new_clothes and tests,
        )

    def _report(self, split: str, training: bool) -> None:
        dataset = self._datasets[split, training]
        for message in dataset.skipped[:_NAMED]:
            log.warning("skipped %s", message)
        if dataset.skipped:
            log.warning("%s of %s photos of %s were skipped", len(dataset.skipped), len(self.splits[split]), split)

    def _people(self, split: str, training: bool = False) -> LeaveOneOutDataset:
        dataset = self._datasets[split, training]
        if not len(dataset):
            raise self._nobody(split)
        return dataset

    def _nobody(self, split: str) -> BolidError:
        need = f"{self.folder}: nobody in {split} has {self.min_references + 1} or more usable photos"
        if any(split_of(r.file_name) for people in self.splits.values() for r in people):
            rule = "the folders train, val and test decide who is in which split"
            return BolidError(f"{need}; {rule}: add people to {self.folder / split} and label anew.")
        rule = "a hash of the name decides who is in which split (train 80, val 10, test 10 %)"
        remedy = f"move every person's folder into {self.folder}/train, val or test and label anew, or add people"
        return BolidError(f"{need}; {rule}: {remedy}.")


def split_records(records: Sequence[ImageRecord], folder: Path) -> dict[str, list[ImageRecord]]:
    """Records by split: the folders decide if any photo lies in one, else a hash of the identity.

    Raises:
        BolidError: if an identity is in two splits, or only some photos lie in a split's folder.
    """
    by_folder = any(split_of(r.file_name) for r in records)
    splits: dict[str, list[ImageRecord]] = {split: [] for split in SPLITS}
    home: dict[str, str] = {}
    for record in records:
        split = split_of(record.file_name) if by_folder else hashed_split(record.identity)
        if split is None:
            raise BolidError(f"{folder}: {record.file_name!r} lies in none of train/, val/ and test/, as others do.")
        if home.setdefault(record.identity, split) != split:
            raise BolidError(f"{folder}: {record.identity!r} is in {home[record.identity]} and in {split}; keep one.")
        splits[split].append(record)
    return splits


def hashed_split(identity: str) -> str:
    """train, val or test for 80, 10 and 10 % of all names, the same on every machine and whoever else is there."""
    value = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big") / 2**32
    return "train" if value < 0.8 else "val" if value < 0.9 else "test"
