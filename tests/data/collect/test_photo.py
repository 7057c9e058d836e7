"""Bytes of photos: whole pictures of any format in, anything else out; names that the site has no say in."""

import io
from hashlib import sha256

import numpy as np
import pytest
from PIL import Image

from bolid.core import schema
from bolid.data.collect import photo
from bolid.data.collect.photo import WrongPhoto, examine, folder_name, store
from tests.data.collect.gallery import bomb, picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP"])
def test_pictures_of_each_format_are_known_by_their_content(kind):
    content = picture(1, (96, 64), kind)
    found = examine(content)
    assert (found.size, found.content) == ((96, 64), content)
    assert found.sha256 == sha256(content).hexdigest()
    assert found.suffix[1:].upper().replace("JPG", "JPEG") == kind


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_half_a_picture_is_none(kind):
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    content = file.getvalue()
    assert examine(content).size == (200, 200)
    with pytest.raises(WrongPhoto):
        examine(content[: len(content) // 2])


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"\xff\xd8\xff", b"%PDF-1.7", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_what_is_no_picture(content):
    with pytest.raises(WrongPhoto, match="not a"):
        examine(content)


def test_bombs_are_known_by_their_header(monkeypatch):
    with pytest.raises(WrongPhoto, match="limit"):
        examine(bomb())
    monkeypatch.setattr(photo, "MAX_PIXELS", 96 * 64 - 1)
    with pytest.raises(WrongPhoto, match="96x64 is over"):
        examine(picture(1, (96, 64), "PNG"))
    assert examine(picture(1, (96, 64))).size == (96, 64)  # JPEG has another limit


def test_a_photo_is_stored_by_person_and_hash(tmp_path):
    found = examine(picture(1))
    assert store(tmp_path, "Ann", found) == store(tmp_path, "Ann", found) == f"Ann/{found.sha256[:20]}.jpg"
    assert [p.read_bytes() for p in (tmp_path / "Ann").iterdir()] == [found.content]


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Ann Lee", "Ann Lee"),
        ("../../etc/passwd", "etc passwd"),
        ("/abs\\olute:C", "abs olute C"),
        (".hidden", "hidden"),
        ("Анна\u200b Петрова\x00\x1b[31m", "Анна Петрова 31m"),
        ("Jean-Luc O'Neil", "Jean-Luc O'Neil"),
        ("  ", "person"),
        ("…", "person"),
        ("Test", "Test person"),
        ("ﬁ", "fi"),
    ],
)
def test_names_of_folders(name, folder):
    assert folder_name(name) == folder


def test_long_names_fit_into_a_file_system(tmp_path):
    name = folder_name("🙂長" * 500 + "長" * 500)
    (tmp_path / f"{name}-123456").mkdir()
    assert len(name) <= 60


def test_splits_are_those_of_the_schema():
    assert photo.SPLITS == schema.SPLITS
