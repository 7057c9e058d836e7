"""Fixtures of the tests of tasks."""

import pytest

from tests.tasks.adapters import save_models


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"))
