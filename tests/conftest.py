"""What several rooms' tests share."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that needs the network is a defect
os.environ.setdefault("YOLO_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a core, not each all of them
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from bolid.cli import main
from tests import miniature


def pytest_runtest_setup(item):
    """Tests that need a CUDA device are skipped where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A random bundle in place of `data/tiny`."""
    return miniature.save_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def run(tmp_path, bundle, monkeypatch, capsys):
    """Runs the command line in an empty folder with the random bundle; returns status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOLID_TINY", str(bundle))

    def call(*words):
        status = main([str(w) for w in words])
        out, err = capsys.readouterr()
        return status, out, err

    return call
