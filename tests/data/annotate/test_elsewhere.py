"""A data set that stays as it is: annotated in another folder, and trained on from there."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from bolid.core.errors import BolidError
from bolid.data.annotate.annotate import annotate_folder, annotate_photos
from bolid.data.annotate.elsewhere import linked
from bolid.data.annotate.networks import Networks
from bolid.data.manifest import read_manifest
from tests.data.annotate.fakes import Finder, Outliner, Recogniser, load, photo
from tests.test_recipes import PEOPLE, RECIPES


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """Somebody's data set with tables of its own."""
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "theirs"
    for split, people in (("train", "abc"), ("val", "de"), ("test", "fg")):
        for person in people:
            for number in range(3):
                photo(folder / split / person / f"{number}.png", shade=40 * number + ord(person) % 40)
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*.png"))]
    pq.write_table(pa.table({"file_name": names, "text": ["theirs"] * len(names)}), folder / "metadata.parquet")
    (folder / "metadata.jsonl").write_text('{"file_name": "train/a/0.png", "text": "a woman"}\n')
    return folder


def everything(folder):
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}


def test_a_manifest_of_somebody_elses_is_not_replaced(theirs):
    before = everything(theirs)
    with pytest.raises(BolidError, match=r"metadata\.parquet.*by --out"):
        annotate_folder(theirs)
    assert everything(theirs) == before


def test_it_is_annotated_elsewhere_and_nothing_is_written_into_it(theirs, tmp_path):
    before = everything(theirs)
    for _ in range(2):  # a second run finds its links
        out = linked(theirs, tmp_path / "out", None)
        assert annotate_photos(out, load).photos == 21
    assert everything(theirs) == before
    captions = {r.file_name: r.caption for r in read_manifest(out)}
    assert captions["train/a/0.png"] == "a woman"


def test_a_folder_that_may_not_be_written_to_asks_for_another(theirs, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the tests may run as somebody who may do anything
    with pytest.raises(BolidError, match="may not be written to; give another folder by --out"):
        linked(theirs, None, None)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["photos_adapter"])
def test_a_fit_reads_photos_that_lie_elsewhere(run, theirs, tmp_path, recipe):
    before = everything(theirs)
    out = linked(theirs, tmp_path / "out", None)
    annotate_photos(out, lambda device: Networks(Finder(), Recogniser(), Outliner()))
    networks = PEOPLE | {"conditions": {"face": {"init_args": {"embed_dim": 4}}}}
    here = {
        "trainer": {"precision": "32-true", "fast_dev_run": True},
        "model": {"init_args": networks},
        "data": {"init_args": {"batch_size": 2, "folder": str(out)}},
    }
    Path("here.yaml").write_text(yaml.safe_dump(here))
    status, _, err = run("fit", "--config", RECIPES / f"{recipe}.yaml", "--config", "here.yaml")
    assert status == 0, err
    assert everything(theirs) == before
