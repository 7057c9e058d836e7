"""The chain: what is kept on the disk, what is not read again, whose files are left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bolid.cli import main
from bolid.core.errors import BolidError
from bolid.core.schema import ImageRecord
from bolid.data.curate.config import Filters
from bolid.data.curate.filters import Sharp, Size
from bolid.data.curate.pixels import PixelMeasure
from bolid.data.curate.run import curate_photos
from bolid.data.curate.store import Store, positions
from bolid.data.curate.verdicts import read_verdicts
from bolid.data.manifest import read_kept, read_manifest, write_manifest
from tests.data.curate.photos import people, picture, write

NO_NETWORKS = ["--filters.people=null", "--filters.identity=null", "--filters.watermark=null", "--filters.body=null"]


def plain(**filters):
    """The filters that need no network."""
    none = {"people": None, "identity": None, "watermark": None, "body": None, "size": Size(100)}
    return Filters(**(none | filters))


@pytest.fixture
def reads(monkeypatch):
    """Names of the photos that were decoded."""
    found = []
    read = PixelMeasure.read
    monkeypatch.setattr(PixelMeasure, "read", lambda self, path: found.append(path.name) or read(self, path))
    return found


def test_another_threshold_decodes_nothing_and_a_new_photo_alone_is_read(tmp_path, reads):
    people(tmp_path)
    assert curate_photos(tmp_path, plain()).kept == 12
    assert len(reads) == 12
    found = curate_photos(tmp_path, plain(size=Size(500)))
    assert (found.kept, found.rejected["size"], len(reads)) == (0, 12, 12)
    write(tmp_path, "p0/new.jpg", picture(99))
    write(tmp_path, "p1/0.jpg", picture(98))  # in place of another
    assert curate_photos(tmp_path, plain()).kept == 13
    assert sorted(reads[12:]) == ["0.jpg", "new.jpg"]


def test_nothing_is_deleted_and_people_with_few_photos_are_dropped_by_name(tmp_path):
    names = people(tmp_path)
    write(tmp_path, "p3/only.jpg", picture(50))
    found = curate_photos(tmp_path, plain(), min_photos=2)
    assert found.dropped == {"p3": 1}
    assert (found.kept, found.people, found.photos) == (12, 3, 13)
    rejected, said = read_verdicts(tmp_path)["p3/only.jpg"]
    assert (rejected, said["person"]) == ("person", "few photos: 1 < 2")
    assert "p3 (1)" in str(found)
    assert all((tmp_path / name).is_file() for name in names)


def test_the_command_line_changes_a_threshold_and_leaves_filters_out(tmp_path, capsys):
    people(tmp_path)
    words = ["data", "curate", str(tmp_path), *NO_NETWORKS]
    assert main([*words, "--filters.size.shortest=121"]) == 0
    assert "0 of 12 photos kept" in (told := capsys.readouterr().out)
    assert "size 12" in told
    assert "most are rejected by size: " in told
    config = Path(__file__).parents[3] / "configs/curate/default.yaml"
    assert main([*words[:3], "--config", str(config), *NO_NETWORKS, "--filters.size=null"]) == 0
    assert "12 of 12 photos kept" in capsys.readouterr().out
    assert json.loads((tmp_path / ".curation/summary.json").read_text())["kept"] == 12


def test_the_shipped_configuration_says_the_defaults():
    import yaml

    given = yaml.safe_load((Path(__file__).parents[3] / "configs/curate/default.yaml").read_text())["filters"]
    assert given == {f.name: asdict(f) for f in Filters()} | {"watermark": None}


def test_verdicts_go_into_the_manifest_and_training_leaves_out_what_is_rejected(tmp_path):
    names = people(tmp_path)
    write(tmp_path, "p0/blurred.jpg", picture(60, (40, 30)).resize((320, 240)))
    records = [ImageRecord(n, n[:2], [], np.ones((17, 3), np.float32), np.ones(4, np.float32)) for n in names]
    records.append(ImageRecord("p0/blurred.jpg", "p0", [], np.ones((17, 3), np.float32), np.ones(4, np.float32)))
    write_manifest(tmp_path, records)
    curate_photos(tmp_path, plain(blurry=Sharp(1.8)))
    rows = {r.file_name: r for r in read_manifest(tmp_path)}
    assert list(rows) == [r.file_name for r in records]
    assert rows["p0/blurred.jpg"].rejected == "blurry"
    assert rows["p0/blurred.jpg"].verdicts["blurry"].startswith("blurry: 1.")
    assert rows["p0/0.jpg"].verdicts["size"] == "kept"
    assert len(read_kept(tmp_path)) == 12
    curate_photos(tmp_path, plain(blurry=None))  # a verdict that is no longer given goes
    assert all(r.rejected == "" and "blurry" not in r.verdicts for r in read_manifest(tmp_path))


def test_metadata_of_somebody_else_stay_as_they_are(tmp_path):
    folder = tmp_path / "set"
    people(folder)
    (folder / "metadata.csv").write_text("file_name,text\n")
    with pytest.raises(BolidError, match="give `--out FOLDER`"):
        curate_photos(folder, plain())
    before = sorted(folder.rglob("*"))
    found = curate_photos(folder, plain(), out=tmp_path / "out")
    assert found.kept == 12
    assert sorted(folder.rglob("*")) == before
    assert len(read_verdicts(tmp_path / "out")) == 12


def test_what_is_no_photo_is_counted(tmp_path):
    people(tmp_path, 1)
    for name in ("beside.jpg", "p0/film.mp4", "p0/below/x.jpg", "p0/0.txt", "p0/.hidden.jpg"):
        write(tmp_path, name, b"x")
    (tmp_path / "p0/away.jpg").symlink_to("/etc/hostname")
    found = curate_photos(tmp_path, plain())
    assert found.photos == 4
    told = {"files beside the people's folders": 1, "files of type '.mp4'": 1, "folders below a person's": 1}
    assert found.left_out == told | {"files that are links to outside, or vanished": 1}


def test_an_empty_or_missing_folder_is_refused(tmp_path):
    with pytest.raises(BolidError, match="no such folder"):
        curate_photos(tmp_path / "gone", plain())
    with pytest.raises(BolidError, match="no photo at FOLDER/PERSON/PHOTO"):
        curate_photos(tmp_path, plain())


def test_a_broken_table_of_measures_is_named(tmp_path):
    people(tmp_path, 1)
    curate_photos(tmp_path, plain())
    table = next((tmp_path / ".curation").glob("pixels-*.parquet"))
    table.write_bytes(b"PAR1 not")
    with pytest.raises(BolidError, match="delete it, it will be made anew"):
        curate_photos(tmp_path, plain())


def test_parts_are_one_table_and_a_double_is_harmless(tmp_path):
    store = Store(tmp_path, PixelMeasure())
    rows = [{"sha256": bytes([k]) * 32, "width": k} for k in range(5)]
    store.append(rows[:3])
    store.append(rows[2:])
    store.compact()
    assert len(store.files) == 1
    assert sorted(set(store.column("width").to_pylist())) == list(range(5))
    wanted = np.array([bytes([3]) * 16, bytes([9]) * 16], "S16")
    at = positions(store.keys(), wanted)
    assert store.column("width")[int(at[0])].as_py() == 3
    assert at[1] == -1


@pytest.mark.slow
def test_two_processes_say_the_same_as_one_and_a_killed_one_loses_nothing(tmp_path):
    for folder in ("one", "two"):
        people(tmp_path / folder, 4, 40)
    curate_photos(tmp_path / "one", plain())
    words = [sys.executable, "-m", "bolid.cli", "data", "curate", str(tmp_path / "two"), *NO_NETWORKS, "--workers=2"]
    with subprocess.Popen([*words, "--filters.size.shortest=100"]) as run:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and run.poll() is None:
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            for child in children:
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
                    deadline = 0
                    break
        assert run.wait(300) == 0
    assert read_verdicts(tmp_path / "two") == read_verdicts(tmp_path / "one")


@pytest.mark.slow
def test_killed_and_resumed_it_comes_to_the_same(tmp_path):
    for folder in ("one", "two"):
        people(tmp_path / folder, 4, 40)
    curate_photos(tmp_path / "one", plain())
    words = [sys.executable, "-m", "bolid.cli", "data", "curate", str(tmp_path / "two"), *NO_NETWORKS]
    run = subprocess.Popen([*words, "--filters.size.shortest=100"])
    while run.poll() is None and not (tmp_path / "two/.curation/photos.parquet").exists():
        time.sleep(0.01)
    run.kill()
    run.wait()
    curate_photos(tmp_path / "two", plain())
    assert read_verdicts(tmp_path / "two") == read_verdicts(tmp_path / "one")
    assert pq.read_table(tmp_path / "two/.curation/verdicts.parquet").num_rows == 160
