"""What several rooms' tests share."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that needs the network is a defect
os.environ.setdefault("YOLO_OFFLINE", "1")

import pytest

from tests import miniature


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A random bundle in place of `data/tiny`."""
    return miniature.save_bundle(tmp_path_factory.mktemp("tiny"))
