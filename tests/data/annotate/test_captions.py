"""Captions as users have them: any file, any encoding, and never the person's name from a model."""

import codecs
import json

import pytest

from bolid.core.errors import BolidError
from bolid.data.annotate.captions import MAX_CAPTION, caption_beside, clean, table_rows, without_name

TEXT = "une femme en été, café"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.encode("latin-1"),
    ],
)
@pytest.mark.parametrize("name", ["1.txt", "1.caption", "1.jpg.txt"])
def test_every_encoding_and_name_is_read(tmp_path, data, name):
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / name).write_bytes(data)
    assert caption_beside(tmp_path, "ann/1.jpg") == TEXT
    assert caption_beside(tmp_path, "ann/2.jpg") is None


def test_control_characters_go_and_captions_are_bounded(tmp_path):
    assert clean("a\0 wo\x1bman\r\n\tin \ufeffred\u202e \ud800") == "a wo man in red"
    (tmp_path / "1.txt").write_bytes(b"\xff\xfe word " * 10_000)
    assert len(caption_beside(tmp_path, "1.jpg")) <= MAX_CAPTION
    (tmp_path / "1.txt").write_text("\0\n ")
    (tmp_path / "1.caption").write_text("the second file")
    assert caption_beside(tmp_path, "1.jpg") == "the second file"


def test_links_and_folders_are_no_captions(tmp_path):
    (tmp_path / "1.txt").symlink_to("/etc/hostname")
    (tmp_path / "2.txt").mkdir()
    for name, message in (("1.jpg", "leads outside"), ("2.jpg", "no caption file")):
        with pytest.raises(BolidError, match=message):
            caption_beside(tmp_path, name)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_and_bad_rows_passed_over(tmp_path, encoding):
    (tmp_path / "ann").mkdir()
    rows = [
        json.dumps({"file_name": "1.jpg", "text": TEXT}),
        "{broken",
        "[]",
        json.dumps({"file_name": 3, "text": "x"}),
    ]
    rows += [json.dumps({"file_name": "./2.jpg", "caption": "two"}), json.dumps({"file_name": "3.jpg", "text": " "})]
    (tmp_path / "ann" / "metadata.jsonl").write_bytes("\n".join(rows).encode(encoding))
    assert list(table_rows(tmp_path, tmp_path / "ann" / "metadata.jsonl")) == [
        ("ann/1.jpg", TEXT),
        ("ann/2.jpg", "two"),
    ]
    (tmp_path / "metadata.csv").write_bytes(f'file_name,text\nann/1.jpg,"{TEXT}"\nann/2.jpg\n'.encode(encoding))
    assert list(table_rows(tmp_path, tmp_path / "metadata.csv")) == [("ann/1.jpg", TEXT)]


@pytest.mark.parametrize(
    ("caption", "person", "wanted"),
    [
        ("Ann Miller's red coat", "ann_miller-2", "the person's red coat"),
        ("a woman, ann miller, in Annapolis", "Ann Miller", "a woman, the person, in Annapolis"),
        ("a woman in red", "p000123", "a woman in red"),
        ("Penélope Cruz smiles at CRUZ", "penelope_cruz", "the person smiles at the person"),
        ("penelope walks", "Pénélope", "the person walks"),
        ("Ann Miller walks", "AnnMiller", "the person walks"),
        ("Bo Li and a bo tree", "bo-li", "the person and a bo tree"),
        ("a portrait of An Li, an apple", "An_Li", "a portrait of the person, an apple"),
        ("一张王芳的照片", "王芳", "一张the person的照片"),
        ("фото: АННА Иванова", "Анна Иванова", "фото: the person"),
        ("a woman", "", "a woman"),
        ("(a woman", "(", "(a woman"),
    ],
)
def test_names_are_taken_out(caption, person, wanted):
    assert without_name(caption, person) == wanted
