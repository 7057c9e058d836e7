import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
from lightning import Trainer

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.data.caption_dropout import CaptionDropout
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import write_manifest
from bolid.data.specs import ReferenceSpec, SplitSpec
from tests.data import invariants
from tests.data.fabricate import fabricate
from tests.data.test_cache import spoil
from tests.data.test_sampler import Recorder

SMALL = {"size": (24, 16), "references": ReferenceSpec((24, 16))}


def prepared(folder, stage=None, **arguments) -> IdentityDataModule:
    module = IdentityDataModule(folder, **(SMALL | arguments))
    module.prepare_data()
    module.setup(stage)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("people")
    fabricate(path, {"train": 3, "val": 2, "test": 2}, photos=3)
    return path


def test_folders_decide_the_splits(folder):
    module = prepared(folder)
    invariants.check_splits_disjoint(module.splits)
    assert {k: len(v) for k, v in module.splits.items()} == {"train": 9, "val": 6, "test": 6}
    for split in ("train", "val", "test"):
        invariants.check_leave_one_out(module._datasets[split, split == "train"], 20)
        invariants.check_groups(module._datasets[split, split == "train"], 20)
        assert all(r.file_name.startswith(split) for r in module._datasets[split, split == "train"].records)


def test_training_people_are_probed_in_one_outfit_a_scene(tmp_path):
    records = fabricate(tmp_path, {"train": 2, "test": 1}, photos=6)
    for k, record in enumerate(records):
        name = f"{record.file_name[:-5]}{k % 6 // 2}{'b' * (k % 2)}.png"  # three scenes in two outfits
        (tmp_path / record.file_name).rename(tmp_path / name)
        records[k] = replace(record, file_name=name, scene=name.replace("b.", "."), silhouette=None)
    write_manifest(tmp_path, records)
    module = prepared(tmp_path, "test", train=SplitSpec(second_outfit=True), test=SplitSpec(probe=True))
    assert module.shows_outfits
    for split in ("test", "train"):
        shown = [r.file_name for r in module._datasets[split, False].records]
        assert shown == [r.file_name for r in records if r.file_name.startswith(split) and "b." not in r.file_name]
    fit = prepared(tmp_path, "fit", train=SplitSpec(second_outfit=True))
    assert len(fit._datasets["train", True].records) == 12
    assert not prepared(tmp_path, "fit").shows_outfits


def test_nobody_is_in_two_splits(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "a")
    shutil.copytree(tmp_path / "a" / "train", tmp_path / "a" / "val", dirs_exist_ok=True)
    with pytest.raises(BolidError, match="in train and in val"):
        prepared(tmp_path / "a")


@pytest.mark.parametrize(("people", "rule", "remedy"), [
    ({"train": 2, "val": 1}, "the folders train, val and test define", "add people to .*/test and annotate anew"),
    ({"": 3}, "a hash of the name defines .*: of 4 people on two or more test", "add people, or move every person's"),
    ({"": 1}, "a hash of the name defines .*: of 4 people on two or more test", "folder into .*/train, val or test"),
])  # fmt: skip
def test_a_stage_for_which_nobody_is_there_is_told_how_the_split_is_decided(tmp_path, people, rule, remedy):
    fabricate(tmp_path, people, photos=2, size=(12, 8))
    IdentityDataModule(tmp_path).require("fit")
    for stage in ("test", "predict"):
        with pytest.raises(BolidError, match=rf"no one in test has 2 or more usable photos; {rule}.*{remedy}"):
            IdentityDataModule(tmp_path).require(stage)
    with pytest.raises(BolidError, match="no one in train has 3 or more"):
        IdentityDataModule(tmp_path, references=ReferenceSpec(min=2)).require("fit")


def test_nineteen_people_can_be_trained_validated_and_tested_on(tmp_path):
    fabricate(tmp_path, {"": 19}, photos=2, size=(12, 8))
    for stage in ("fit", "validate", "test", "predict"):
        IdentityDataModule(tmp_path).require(stage, people=2)
    people = {
        split: len({r.identity for r in records}) for split, records in IdentityDataModule(tmp_path).splits.items()
    }
    assert min(people.values()) >= 2
    assert sum(people.values()) == 19


def test_one_person_to_test_on_is_no_two(tmp_path):
    fabricate(tmp_path, {"train": 2, "val": 1, "test": 1}, photos=2, size=(12, 8))
    IdentityDataModule(tmp_path).require("test")
    with pytest.raises(BolidError, match=r"only 1 of test has 2 or more usable photos, and 2 people are needed.*/test"):
        IdentityDataModule(tmp_path).require("test", people=2)
    fabricate(tmp_path / "alone", {"test": 2}, photos=2, size=(12, 8))
    probe = IdentityDataModule(tmp_path / "alone", test=SplitSpec(probe=True))
    with pytest.raises(BolidError, match="no one in train"):
        probe.require("test")


def test_batches_that_cannot_be_made_are_refused_at_once(tmp_path):
    records = fabricate(tmp_path, {"train": 2}, photos=2, size=(12, 8))
    with pytest.raises(BolidError, match=r"data.train.samples_per_epoch=8 does not fill .* data.batch_size=9 or more"):
        IdentityDataModule(tmp_path, batch_size=9, train=SplitSpec(samples_per_epoch=8)).require("fit")
    write_manifest(tmp_path, [replace(r, group=r.file_name[-5]) for r in records])
    IdentityDataModule(tmp_path, batch_size=4).require("fit")
    with pytest.raises(BolidError, match=r"groups of 2: set data.batch_size=3 to a multiple"):
        IdentityDataModule(tmp_path, batch_size=3).require("fit")


def test_loaders(folder):
    module = prepared(
        folder, batch_size=4, train=SplitSpec(caption_dropout=CaptionDropout(body=1), samples_per_epoch=10)
    )
    train = list(module.train_dataloader())
    assert [len(b) for b in train] == [4, 4]  # full batches only
    assert [len(b) for b in module.val_dataloader()] == [4, 2]
    assert [len(b) for b in module.test_dataloader()] == [4, 2]
    invariants.check_ranges(train[0])
    assert all("slender" not in caption for b in train for caption in b.captions)
    assert all("slender" in caption for b in train for caption in b.full_captions)
    first, again = (next(iter(module.val_dataloader())) for _ in range(2))
    assert first.captions == again.captions
    assert first.references.names == again.references.names


def test_captions_of_validation_have_their_own_policy(folder):
    module = prepared(
        folder,
        train=SplitSpec(caption_dropout=CaptionDropout()),
        val=SplitSpec(caption_dropout=CaptionDropout(0, 0, 0, 1)),
    )
    batch = next(iter(module.val_dataloader()))
    assert set(batch.captions) == {"a photo of a woman, slender, narrow waist, left arm raised"}
    assert module.specs["test"].caption_dropout == CaptionDropout()  # as in training


def test_a_small_folder_fills_at_least_one_batch(folder):
    assert [len(b) for b in prepared(folder, "fit", batch_size=16).train_dataloader()] == [16]
    with pytest.raises(BolidError, match="samples_per_epoch"):
        prepared(folder, "fit", batch_size=16, train=SplitSpec(samples_per_epoch=8)).train_dataloader()


def test_what_is_wrong_is_said_in_one_line(tmp_path):
    for module in (IdentityDataModule(tmp_path / "nowhere"), IdentityDataModule(tmp_path)):
        for call in (module.prepare_data, module.setup):
            with pytest.raises(BolidError, match="bolid data annotate"):
                call()
    fabricate(tmp_path, {"train": 1}, photos=1)
    module = prepared(tmp_path)
    assert module.val_dataloader() == []
    with pytest.raises(BolidError, match="no one in train has 2 or more"):
        module.train_dataloader()
    with pytest.raises(BolidError, match="no one in test"):
        module.test_dataloader()


def test_unusable_photos_are_named_and_counted(tmp_path, caplog):
    records = fabricate(tmp_path, {"train": 4})
    broken = spoil(tmp_path, records)
    with caplog.at_level(logging.WARNING):
        module = prepared(tmp_path, "fit", batch_size=2)
    for name in broken:
        assert name.split("/")[-1] in caplog.text
    assert "5 of 12 photos of train were skipped" in caplog.text
    shown = {n for b in module.train_dataloader() for names in (b.file_names, *b.references.names) for n in names}
    assert not shown & broken


def test_faces_of_any_size_reach_the_batch(tmp_path):
    records = fabricate(tmp_path, {"train": 2, "val": 2})
    half = np.eye(1, 128, dtype=np.float32)[0]
    with_faces = [replace(r, face_embedding=half) if r.face_embedding is not None else r for r in records[:6]]
    faceless = [replace(r, face_embedding=None, face_model="") for r in records[6:]]
    write_manifest(tmp_path, with_faces + faceless)
    module = prepared(tmp_path, "fit", batch_size=2)
    for loader in (module.train_dataloader(), module.val_dataloader()):
        assert next(iter(loader)).references.faces.shape == (2, 4, 128)


def test_rendered_photos_of_unknown_scenes_are_refused(tmp_path):
    records = [replace(r, renderer=1) for r in fabricate(tmp_path, {"train": 2})]
    write_manifest(tmp_path, records)
    with pytest.raises(BolidError, match=r"of one scene: write it anew by `bolid data render`.*RenderedPeople"):
        IdentityDataModule(tmp_path).require("fit")
    write_manifest(tmp_path, [replace(r, scene=r.file_name) for r in records])
    IdentityDataModule(tmp_path).require("fit")


def test_embeddings_of_two_networks_are_not_mixed(tmp_path):
    records = fabricate(tmp_path, {"train": 2})
    write_manifest(tmp_path, [replace(records[0], face_model="another"), *records[1:]])
    with pytest.raises(BolidError, match="networks"):
        prepared(tmp_path)


def test_a_trainer_validates_tests_and_predicts(folder, tmp_path):
    class Predictor(Recorder):
        def test_step(self, batch):
            self.validated.append(batch.file_names)

        def predict_step(self, batch):
            return batch.file_names

    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    data, model = IdentityDataModule(folder, batch_size=4, **SMALL), Predictor()
    trainer.test(model, data, verbose=False)
    names = trainer.predict(model, data)
    assert names == model.validated
    assert sorted(name for batch in names for name in batch) == sorted(r.file_name for r in data.splits["test"])


def test_batches_move_together(folder):
    batch = next(iter(prepared(folder, batch_size=4).val_dataloader()))
    assert isinstance(batch[1:3], TrainingBatch)
    assert len(batch[1:3]) == 2
    assert batch[1:3].file_names == batch.file_names[1:3]
