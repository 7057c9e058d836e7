"""Where the embedded bundle is looked for, and what is said where it is not."""

from pathlib import Path

import pytest

from bolid.core.errors import BolidError
from bolid.core.paths import find_folder, resolve

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, without the variable."""
    monkeypatch.delenv("BOLID_TINY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_variable_wins_over_the_working_folder_and_that_over_the_repository(here, monkeypatch):
    assert resolve("data/tiny/pose") == ROOT / "data/tiny/pose"
    (here / "data/tiny/pose").mkdir(parents=True)
    assert resolve("data/tiny/pose") == Path("data/tiny/pose")
    (here / "mine").mkdir()
    monkeypatch.setenv("BOLID_TINY", str(here / "mine"))
    assert resolve("data/tiny/pose") == here / "mine/pose"
    assert resolve("data/tiny") == here / "mine"


def test_every_other_path_is_itself(here, monkeypatch):
    monkeypatch.setenv("BOLID_TINY", str(here))
    for path in ("runs/x", "data/tinyish/pose", "stabilityai/sdxl", "/data/tiny/pose"):
        assert resolve(path) == Path(path)


def test_a_variable_that_names_no_folder_is_said_to(here, monkeypatch):
    (here / "data/tiny/pose").mkdir(parents=True)
    monkeypatch.setenv("BOLID_TINY", "gone/tiny")
    with pytest.raises(BolidError, match="BOLID_TINY: no folder at gone/tiny; set it to"):
        resolve("data/tiny/pose")
    assert resolve("other") == Path("other")


def test_a_folder_without_its_member_is_named_with_the_remedy(here):
    (here / "model").mkdir()
    with pytest.raises(BolidError, match=r"model is missing or holds no x\.json: make one"):
        find_folder("model", "x.json", "make one")
    (here / "model/x.json").touch()
    assert find_folder("model", "x.json", "make one") == Path("model")
