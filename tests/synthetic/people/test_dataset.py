"""`render_people` on disk: complete, resumable, and clear about what is wrong."""

from __future__ import annotations

import ctypes.util
import subprocess
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image

from bolid.core.errors import BolidError
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import read_manifest, write_manifest
from bolid.synthetic.people import RENDERER_VERSION, dataset, render_people
from bolid.synthetic.wording import attributes

SMALL = {"photos": 2, "height": 48, "width": 32, "workers": 1}


def contents(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    render_people(folder, range(3), **SMALL)
    return folder


def test_everything_is_there(finished):
    records = read_manifest(finished)
    assert len(records) == 6
    for record in records:
        picture = Image.open(finished / record.file_name)
        assert picture.size == Image.open(finished / record.silhouette).size == (32, 48)
        assert record.renderer == RENDERER_VERSION
        assert record.caption.startswith(("a photo of", "a picture of"))
        assert record.identity not in record.caption
        assert record.attributes == attributes(record.caption)
        assert record.proportions.shape == (7,)
        assert isinstance(record.whole_figure, bool)
        assert (record.scene, record.group, record.family) == (record.file_name.removesuffix(".png"), "", "")
    assert set(IdentityDataModule(finished).splits["train"][0].attributes) >= {"gender", "pose", "background"}
    people = parquet.read_table(finished / "people.parquet").to_pylist()
    assert [p["identity"] for p in people] == ["p000000", "p000001", "p000002"]
    assert {"family", "gender", "waist", "hip", "shoulder", "torso", "leg", "arm", "build"} <= set(people[0])
    assert not [p for p in finished.rglob("*") if "tmp" in p.name]


def test_a_killed_run_goes_on_and_ends_the_same(finished, tmp_path, monkeypatch):
    real, calls = dataset._save, []

    def dies(*arguments):
        calls.append(arguments)
        if len(calls) == 4:  # in the middle of the second person
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(dataset, "_save", dies)
    with pytest.raises(KeyboardInterrupt):
        render_people(tmp_path, range(3), **SMALL)
    monkeypatch.setattr(dataset, "_save", real)
    render_people(tmp_path, range(3), **SMALL)
    assert contents(tmp_path) == contents(finished)
    assert [r.caption for r in read_manifest(tmp_path)] == [r.caption for r in read_manifest(finished)]


PARENT = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from bolid.synthetic.people.dataset import _start_worker
if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), _start_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(600)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    with subprocess.Popen([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline()
        parent.kill()
        parent.communicate(timeout=60)  # the output ends when nobody is left who could write to it


def test_finished_people_are_not_rendered_again(finished, monkeypatch):
    monkeypatch.setattr(dataset, "_render", lambda *_: pytest.fail("rendered again"))
    before = contents(finished)
    render_people(finished, [2, 0], **SMALL)
    assert contents(finished) == before


def test_extending_keeps_what_was_added_to_the_manifest(finished, tmp_path):
    render_people(tmp_path, [7], **SMALL)
    face = np.eye(512, dtype=np.float32)[3]
    records = read_manifest(tmp_path)
    records[0].face_embedding, records[0].face_model = face, "abc"
    write_manifest(tmp_path, records)
    render_people(tmp_path, [8], split="val", **SMALL)
    both = {r.file_name: r for r in read_manifest(tmp_path)}
    assert len(both) == 4
    assert np.array_equal(both["train/p000007_0.png"].face_embedding, face)
    assert both["val/p000008_0.png"].face_embedding is None


def test_two_workers_draw_the_same(finished, tmp_path):
    render_people(tmp_path, range(3), **(SMALL | {"workers": 2}))
    assert contents(tmp_path) == contents(finished)


@pytest.mark.parametrize(("wrong", "words"), [
    ({"split": "training"}, "split"), ({"framing": "close"}, "framing"), ({"photos": 0}, "photos"),
    ({"height": 9}, "height"), ({"outfits": 99}, "outfits"),
])  # fmt: skip
def test_wrong_options_say_which(tmp_path, wrong, words):
    with pytest.raises(BolidError, match=words):
        render_people(tmp_path, range(1), **(SMALL | wrong))


def test_other_options_in_the_same_folder_are_refused(finished):
    with pytest.raises(BolidError, match="seed was 0, not 5"):
        render_people(finished, range(3), seed=5, **SMALL)


@pytest.mark.parametrize("change", [
    {"outfits": 2}, {"seed": 5}, {"height": 64}, {"families": 2}, {"opposites": True},
])  # fmt: skip
def test_other_people_rendered_otherwise_are_refused(finished, monkeypatch, change):
    monkeypatch.setattr(dataset, "_render", lambda *_: pytest.fail("rendered"))
    with pytest.raises(BolidError, match=rf"{finished.name} .*train/p000000: {next(iter(change))} was .*new folder"):
        render_people(finished, [5], **(SMALL | change))


def test_opposites_stand_in_the_same_scene(finished, tmp_path):
    render_people(tmp_path, range(2), opposites=True, **SMALL)
    assert contents(tmp_path)["train/p000000_1.png"] == contents(finished)["train/p000000_1.png"]
    one, two = ([r for r in read_manifest(tmp_path) if r.identity == f"p00000{k}"] for k in (0, 1))
    for mine, theirs in zip(one, two, strict=True):
        corners = [np.asarray(Image.open(tmp_path / r.file_name))[:4].astype(int) for r in (mine, theirs)]
        assert np.abs(corners[0] - corners[1]).mean() < 8  # of the same wall or sky
        said = [{k: v for k, v in attributes(r.caption).items() if k != "build"} for r in (mine, theirs)]
        assert said[0] == said[1]
        assert mine.sha256 != theirs.sha256
        assert mine.group == theirs.group
    assert [r.group for r in one] == ["0/0", "0/1"]
    ratios = parquet.read_table(tmp_path / "people.parquet").to_pylist()
    assert ratios[0]["family"] == ratios[1]["family"]
    assert ratios[0]["waist"] != ratios[1]["waist"]


def test_splits_may_differ_in_some_options_and_people_in_photos(finished, monkeypatch):
    asked = []
    monkeypatch.setattr(dataset, "_render", lambda job, *_: asked.append(job.photos))
    render_people(finished, [5], split="val", families=2, **SMALL)
    render_people(finished, [5], **(SMALL | {"split": "val", "outfits": 2, "framing": "upright"}))
    render_people(finished, [5], **(SMALL | {"photos": 1, "framing": "upright"}))
    assert asked == [2, 2, 1]
    with pytest.raises(BolidError, match="framing was mixed, not upright"):
        render_people(finished, range(3), framing="upright", **SMALL)


def test_photos_of_another_version_keep_it_and_are_not_extended(finished, monkeypatch):
    monkeypatch.setattr(dataset, "RENDERER_VERSION", RENDERER_VERSION + 1)
    dataset.write_tables(finished)
    assert {r.renderer for r in read_manifest(finished)} == {RENDERER_VERSION}
    monkeypatch.setattr(dataset, "_render", lambda *_: pytest.fail("rendered"))
    for split in ("train", "val"):
        with pytest.raises(BolidError, match=f"renderer was {RENDERER_VERSION}, not {RENDERER_VERSION + 1}"):
            render_people(finished, [5], split=split, **SMALL)


def test_missing_egl_names_the_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(BolidError, match=r"apt-get install libegl1 libgl1-mesa-dri"):
        render_people(tmp_path, range(1), **SMALL)
