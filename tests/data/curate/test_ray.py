"""The same chain in workers of Ray: the same verdicts, and a killed worker loses nothing."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from bolid.core.errors import BolidError
from bolid.data.curate.listing import list_photos
from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.ray import LOCAL, connect
from bolid.data.curate.run import curate_photos
from bolid.data.curate.verdicts import read_verdicts
from bolid.data.curate.work import measure_photos
from tests.data.curate.photos import people, write
from tests.data.curate.test_curate import plain


class Dying(Measure):
    """Reads photos' bytes; the process that first reads a certain one ends, as by the system for its memory."""

    name = "dying"
    columns = {"size": pa.int64(), "process": pa.int64(), "start": pa.binary()}
    batch = 4

    def __init__(self, mark):
        self.mark = Path(mark)

    @property
    def fingerprint(self):
        return "0" * 16

    def read(self, path):
        if path.name == "7.jpg" and not (self.mark.exists() and self.mark.read_text() == "once"):
            self.mark.write_text(self.mark.name)
            os.kill(os.getpid(), signal.SIGKILL)
        if path.read_bytes() == b"broken":
            raise BolidError("broken")
        return {"size": path.stat().st_size, "process": os.getpid(), "start": path.read_bytes()[:40]}


@pytest.fixture
def cluster():
    """Two workers on this machine, as long as the test lasts."""
    ray = pytest.importorskip("ray", reason="pip install bolid[ray]")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_two_workers_say_the_same_as_one_process(tmp_path, cluster):
    for folder in ("one", "two"):
        people(tmp_path / folder, 4, 40)
        write(tmp_path / folder, "p0/broken.jpg", b"no photo")
    curate_photos(tmp_path / "one", plain())
    found = curate_photos(tmp_path / "two", plain(), workers=2, ray=LOCAL)
    assert found.photos == 161
    assert found.rejected["decodable"] == 1
    assert read_verdicts(tmp_path / "two") == read_verdicts(tmp_path / "one")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path, cluster):
    people(tmp_path, 4, 20)
    write(tmp_path, "p1/broken.jpg", b"broken")
    photos = Photos(tmp_path, tmp_path, list_photos(tmp_path, tmp_path).photos)
    measure = Dying(tmp_path / "once")
    assert measure_photos(photos, measure, np.arange(81), 2, LOCAL) == 81
    assert measure.mark.exists()
    assert photos.measured("dying").all()
    sizes = photos.numbers("dying", "size")
    true = [float((tmp_path / photos.name(k)).stat().st_size) for k in range(81)]
    broken = next(k for k in range(81) if photos.name(k) == "p1/broken.jpg")
    assert np.isnan(sizes[broken])
    assert np.delete(sizes, broken).tolist() == np.delete(true, broken).tolist()
    workers = set(photos.numbers("dying", "process")[~np.isnan(sizes)])
    assert len(workers) >= 2
    assert os.getpid() not in workers
    assert measure_photos(photos, measure, np.arange(81), 2, LOCAL) == 0  # nothing is read again


@pytest.mark.slow
def test_a_photo_that_ends_every_worker_ends_the_run_and_not_what_is_known(tmp_path, cluster):
    people(tmp_path, 1, 20)
    photos = Photos(tmp_path, tmp_path, list_photos(tmp_path, tmp_path).photos)
    with pytest.raises(BolidError, match="Without --ray, a photo that ends the process"):
        measure_photos(photos, Dying(tmp_path / "always"), np.arange(20), 2, LOCAL)


def test_without_ray_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BolidError, match=r"bolid\[ray\]"):
        connect(LOCAL, 2)
