"""Annotation may end in the page of a set."""

import pytest

from bolid.core.errors import BolidError
from bolid.data.annotate import annotate as module
from bolid.data.annotate.annotate import annotate_folder
from bolid.data.annotate.networks import Networks
from tests.data.annotate.fakes import Finder, Recogniser, photo


def test_the_page_shows_what_was_kept_and_its_name_is_checked_first(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        module, "_load", lambda choice, device: asked.append(1) or Networks(Finder(), Recogniser(), None)
    )
    for name in ("ann/1.png", "ann/2.png", "bob/1.png"):
        photo(tmp_path / "album" / name)
    with pytest.raises(BolidError, match=r"page\.txt: the page's name must end in \.html"):
        annotate_folder(tmp_path / "album", page=tmp_path / "page.txt")
    assert not asked
    said = annotate_folder(tmp_path / "album", page=tmp_path / "page.html")
    assert "page.html: 3 of 3 photos of 2 people are kept" in said
    assert "ann" in (tmp_path / "page.html").read_text()
