"""What several tests of data share."""

import pytest

from tests.data.fabricate import fabricate


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return folder, fabricate(folder, {"train": 4}, photos=6, silhouettes=True)
