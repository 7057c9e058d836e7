import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lightning import LightningModule

from bolid.core.errors import BolidError
from bolid.core.schema import Phrase
from bolid.data.annotate.faces import embed_faces
from bolid.data.manifest import read_manifest, write_manifest
from bolid.data.specs import ReferenceSpec
from bolid.synthetic import people
from bolid.synthetic.datamodule import RenderedPeople
from bolid.synthetic.render import RESERVED
from bolid.synthetic.specs import PeopleSpec, RenderedSpec
from tests.commands.quiet import quiet_trainer
from tests.data import invariants
from tests.data.fabricate import fabricate, fabricate_bodies

PEOPLE = {"train": {"people": 3, "photos": 2}, "val": {"people": 1}, "test": {"people": 2}}


def small(folder, batch_size=2, **rendered) -> RenderedPeople:
    """Few small photos: options of `RenderedSpec`; those of a split change what is said of its people."""
    people = {split: PeopleSpec(**(PEOPLE[split] | rendered.pop(split, {}))) for split in PEOPLE}
    spec = RenderedSpec(**({"photo_size": (48, 32)} | people | rendered))
    return RenderedPeople(folder, spec, size=(24, 16), references=ReferenceSpec((24, 16)), batch_size=batch_size)


class Draughtsman:
    """Stands in for the renderer: draws, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []
        self.how: dict[str, dict] = {}

    def __call__(self, folder: Path, who, photos, height, width, split="train", **how) -> None:
        self.asked.append((split, who[0], len(who)))
        self.how[split] = how
        drawn = folder / "drawn"
        records = fabricate(drawn, {split: len(who)}, photos, (height, width), faces=False)
        (folder / split).mkdir(parents=True, exist_ok=True)
        known = {r.file_name: r for r in read_manifest(folder)} if len(self.asked) > 1 else {}
        for record in records:
            seed, photo = who[int(record.identity[1:])], record.file_name[-5]
            name = f"{split}/p{seed:06d}_{photo}.png"
            (drawn / record.file_name).replace(folder / name)
            who_it_is = {"file_name": name, "identity": f"p{seed:06d}", "renderer": people.RENDERER_VERSION}
            known[name] = replace(record, sha256="", **who_it_is)
        write_manifest(folder, list(known.values()))


@pytest.fixture
def renderer(monkeypatch):
    draughtsman = Draughtsman()
    monkeypatch.setattr(people, "render_people", draughtsman)
    return draughtsman


def test_absent_people_are_rendered_once(tmp_path, renderer):
    for _ in range(2):
        module = small(tmp_path / "people")
        module.prepare_data()
    assert renderer.asked == [("train", 200_000, 3), ("val", 290_000, 1), ("test", 900_000, 2)]
    module.setup()
    assert {k: len(v) for k, v in module.splits.items()} == {"train": 6, "val": 2, "test": 4}
    invariants.check_splits_disjoint(module.splits)
    invariants.check_leave_one_out(module._datasets["train", True], 10)
    invariants.check_ranges(next(iter(module.train_dataloader())))


def test_a_stage_without_people_is_refused_before_anything_is_rendered(tmp_path):
    module = small(tmp_path / "absent", test={"people": 0})
    module.require("fit")
    with pytest.raises(BolidError, match=r"data\.rendered\.test\.people is 0, so there are no people to predict on"):
        module.require("predict")
    with pytest.raises(BolidError, match=r"data\.rendered\.test\.people is 1, and 2 are needed"):
        small(tmp_path / "absent", test={"people": 1}).require("test", people=2)
    with pytest.raises(BolidError, match=r"data\.rendered\.train\.photos=1 leaves fewer than data\.references\.min=1"):
        small(tmp_path / "absent", train={"photos": 1}).require("fit")
    assert not (tmp_path / "absent").exists()


def test_only_the_incomplete_split_is_rendered(tmp_path, renderer):
    small(tmp_path).prepare_data()
    records = read_manifest(tmp_path)
    write_manifest(tmp_path, [r for r in records if r.file_name != "train/p200001_1.png"])
    renderer.asked.clear()
    renderer.asked.append(("", 0, 0))  # it has drawn before
    small(tmp_path).prepare_data()
    assert renderer.asked[1:] == [("train", 200_000, 3)]


def test_a_verb_renders_and_copies_only_what_it_needs(tmp_path, renderer):
    class Idle(LightningModule):
        def validation_step(self, batch):
            self.shown = batch.identities

        test_step = validation_step

    module, task = small(tmp_path), Idle()
    quiet_trainer(tmp_path).validate(task, module, verbose=False)
    assert [split for split, *_ in renderer.asked] == ["val"]
    quiet_trainer(tmp_path).test(task, module, verbose=False)
    assert [split for split, *_ in renderer.asked] == ["val", "test"]
    assert all(int(name[1:]) >= RESERVED for name in task.shown)


def test_other_people_of_the_folder_are_left_alone(tmp_path, renderer):
    small(tmp_path).prepare_data()
    fewer = small(tmp_path, train={"people": 1})
    fewer.prepare_data()
    assert len(renderer.asked) == 3
    assert {r.identity for r in fewer.splits["train"]} == {"p200000"}
    assert len(read_manifest(tmp_path)) == 12


def test_tests_show_one_outfit_and_people_to_measure_may_be_framed_otherwise(tmp_path, renderer):
    outfits, framed = {"outfits": 2}, {"framing": "upright"}
    small(tmp_path, train=outfits, val=outfits | framed, test=framed, seed=3).prepare_data()
    shown = {split: (how["framing"], how["outfits"], how["seed"]) for split, how in renderer.how.items()}
    assert shown == {"train": ("mixed", 2, 3), "val": ("upright", 2, 3), "test": ("upright", 1, 3)}


def test_photos_in_fewer_outfits_or_framed_otherwise_are_not_taken_for_others(tmp_path, renderer):
    small(tmp_path, train={"photos": 4}).prepare_data()
    renderer.asked.clear()
    small(tmp_path, train={"outfits": 2}, val={"outfits": 2}).prepare_data()  # as many files as asked for
    assert [split for split, *_ in renderer.asked] == ["train", "val"]
    (tmp_path / ".rows/test").mkdir(parents=True)
    (tmp_path / ".rows/test/p900000.json").write_text('{"job": {"framing": "mixed"}}')
    with pytest.raises(BolidError, match="photos of test were rendered with framing 'mixed', not 'upright'"):
        small(tmp_path, test={"framing": "upright"}).prepare_data()
    small(tmp_path).prepare_data()
    (tmp_path / ".rows/train").mkdir()
    (tmp_path / ".rows/train/p200000.json").write_text('{"job": {"framing": "mixed"}}')
    with pytest.raises(BolidError, match="photos of train were rendered with opposites False, not True"):
        small(tmp_path, train={"people": 2}, pairs=True).prepare_data()


def test_twins_are_families(tmp_path, renderer):
    module = small(tmp_path, train={"families": 2})
    module.prepare_data()
    assert module.families() == {"p200000": "100000", "p200001": "100000", "p200002": "100001"}
    assert module.families("test") == small(tmp_path).families() == {}


def test_pairs_to_train_on_are_groups(tmp_path, renderer):
    module = small(tmp_path, train={"people": 4}, pairs=True)
    module.prepare_data()
    assert {split: how["opposites"] for split, how in renderer.how.items()} == {
        "train": True, "val": False, "test": False,
    }  # fmt: skip
    groups = {r.file_name: r.group for split in module.splits.values() for r in split}
    assert groups["train/p200001_1.png"] == groups["train/p200000_1.png"] == "100000/1"
    assert groups["train/p200002_1.png"] == "100001/1"
    assert groups["val/p290000_0.png"] == groups["test/p900000_0.png"] == ""
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    assert batch.groups.tolist() == [0, 0]
    assert {name[-6:] for name in batch.file_names} in ({"_0.png"}, {"_1.png"})
    invariants.check_groups(module._datasets["train", True])
    for odd in ({"train": {"people": 3}}, {"train": {"people": 4, "first": 200_001}}):
        with pytest.raises(BolidError, match="must be even"):
            small(tmp_path, **({"train": {"people": 4}, "pairs": True} | odd))
    with pytest.raises(BolidError, match=r"groups of 2: set data\.batch_size=3 to a multiple"):
        small(tmp_path, train={"people": 4}, pairs=True, batch_size=3).require("fit")


def test_a_manifest_that_knows_no_scenes_is_completed(tmp_path, renderer):
    small(tmp_path, train={"outfits": 1, "families": 2}).prepare_data()
    before = read_manifest(tmp_path)
    assert not any(r.scene for r in before)
    for record in before[:2]:  # of one person
        (tmp_path / record.file_name.replace(".png", "b.png")).write_bytes((tmp_path / record.file_name).read_bytes())
    twice = [replace(r, file_name=r.file_name.replace(".png", "b.png")) for r in before[:2]]
    write_manifest(tmp_path, before + twice)
    fabricate_bodies(tmp_path, ["p200000"])
    module = small(tmp_path, train={"families": 2})
    known = {r.file_name: r for r in module.splits["train"]}
    one, other = known["train/p200000_0.png"], known["train/p200000_0b.png"]
    assert one.scene == other.scene == "train/p200000_0"
    assert one.family == "100000"
    assert one.proportions.shape == (7,)
    assert known["train/p200002_0.png"].proportions is None
    module.setup("fit")
    invariants.check_leave_one_out(module._datasets["train", True], 20)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"first": 899_999}}, "reserved"),
        ({"val": {"first": 900_000}}, "reserved"),
        ({"test": {"first": 899_999}}, "rendered.test.first=899999 must be 900000"),
        ({"val": {"first": 200_002}}, "overlap; move rendered.val.first"),
        ({"val": {"first": -1}}, "rendered.val: first"),
        ({"train": {"photos": 0}}, "rendered.train: photos=0"),
        ({"test": {"framing": "upwright"}}, "rendered.test.framing is 'upwright', none of mixed"),
        ({"photo_size": (0, 5)}, "rendered.photo_size"),
    ],
)
def test_contradictions_are_told(tmp_path, change, message):
    with pytest.raises(BolidError, match=message):
        small(tmp_path, **change)


def test_people_held_out_are_as_those_to_train_on_where_nothing_else_is_said(tmp_path):
    given = {"train": {"first": 10, "photos": 3, "framing": "head_and_shoulders"}, "val": {"photos": 8}}
    people = small(tmp_path, **given).people
    assert people["val"] == PeopleSpec(90_010, 1, 8, "head and shoulders")
    assert people["test"] == PeopleSpec(RESERVED, 2, 3, "head and shoulders")


def test_photos_made_otherwise_are_refused(tmp_path, renderer):
    small(tmp_path).prepare_data()
    with pytest.raises(BolidError, match="48x32"):
        small(tmp_path, photo_size=(96, 64)).prepare_data()


def test_a_folder_of_an_older_renderer_is_used_if_complete_and_never_extended(tmp_path, renderer, monkeypatch, caplog):
    small(tmp_path).prepare_data()
    assert not caplog.records
    old, new = people.RENDERER_VERSION, people.RENDERER_VERSION + 1
    monkeypatch.setattr(people, "RENDERER_VERSION", new)
    small(tmp_path).prepare_data()
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        f"{tmp_path}: photos of renderer version {old}, used as they are; this is version {new}"
    ]
    asked = len(renderer.asked)
    with pytest.raises(BolidError, match=rf"{tmp_path}: .*version {old},.*version {new},.*new folder"):
        small(tmp_path, train={"people": 4}).prepare_data()
    assert len(renderer.asked) == asked


def test_without_a_renderer_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bolid.synthetic.people.raster", None)  # what it draws with is imported in there
    with pytest.raises(BolidError, match="pip install"):
        small(tmp_path).prepare_data()


def test_a_missing_recogniser_is_named(tmp_path, renderer):
    with pytest.raises(BolidError, match="nowhere"):
        small(tmp_path, face_embedder=Path("nowhere.onnx")).prepare_data()


class Recogniser:
    """Embeds the mean colour, unless the nose is unseen."""

    def __init__(self, fingerprint: str = "one") -> None:
        self.fingerprint, self.calls = fingerprint, 0

    def embed(self, rgb, keypoints):
        self.calls += 1
        if keypoints[0, 2] == 0:
            return None
        embedding = np.zeros(512, np.float32)
        embedding[int(rgb.mean())] = 1
        return embedding


def test_faces_are_embedded_once_per_recogniser(tmp_path):
    records = fabricate(tmp_path, {"train": 2}, photos=2, faces=False)
    hidden = records[1].keypoints.copy()
    hidden[0] = 0
    records[1] = replace(records[1], keypoints=hidden)
    (tmp_path / records[2].file_name).write_bytes(b"broken")
    one = Recogniser()
    found = embed_faces(records, tmp_path, lambda: one)
    assert [r.face_embedding is not None for r in found] == [True, False, False, True]
    assert one.calls == 3
    stored = read_manifest(tmp_path)
    assert [r.face_model for r in stored] == ["one"] * 4
    np.testing.assert_array_equal(stored[0].face_embedding, found[0].face_embedding)
    embed_faces(stored, tmp_path, lambda: one)
    embed_faces(stored, tmp_path, lambda: pytest.fail("loaded for nothing"), fingerprint="one")
    assert one.calls == 3
    assert {r.face_model for r in embed_faces(stored, tmp_path, lambda: Recogniser("two"))} == {"two"}
    assert stored[0].phrases[0] == Phrase("gender", "a photo of a woman")
