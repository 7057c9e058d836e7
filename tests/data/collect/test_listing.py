"""Lists of addresses, in each of their formats."""

from pathlib import Path

import pytest

from bolid.core.errors import BolidError
from bolid.data.collect.listing import read_list

ROOT = Path(__file__).parents[3]


def write(folder, name, text, encoding="utf-8"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_the_shipped_example():
    found = read_list(ROOT / "configs/collect/addresses.csv")
    assert {name: len(photos) for name, photos in found.items()} == {"Ann Example": 2, "Bob Example": 1}
    assert found["Ann Example"][1].licence == "CC BY 4.0"
    assert found["Bob Example"][0].page == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "# ours\nBo, https://example.org/1.jpg\n\n Ann Lee ,https://example.org/2.jpg\nBo,https://example.org/3.jpg"),
        ("list.csv", '\ufeffAddress,Person\nhttps://example.org/1.jpg,Bo\nhttps://example.org/2.jpg,"Ann  Lee"\n'
                     "https://example.org/3.jpg,Bo\n"),
        ("list.jsonl", '{"person": "Bo", "address": "https://example.org/1.jpg"}\n{"person": "Ann Lee", "address": '
                       '"https://example.org/2.jpg"}\n\n{"address": "https://example.org/3.jpg", "person": "Bo"}'),
    ],
)  # fmt: skip
def test_people_and_photos_keep_their_order(tmp_path, name, text):
    found = read_list(write(tmp_path, name, text))
    addresses = {person: [photo.address[-5:] for photo in photos] for person, photos in found.items()}
    assert addresses == {"Bo": ["1.jpg", "3.jpg"], "Ann Lee": ["2.jpg"]}
    assert list(found) == ["Bo", "Ann Lee"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("list.txt", "Ann,https://example.org/1.jpg\nBo\n", "line 2"),
        ("list.csv", "Ann,file:///etc/passwd", "line 1"),
        ("list.csv", ",https://example.org/1.jpg", "line 1"),
        ("list.csv", "person,address,colour\n", "colour"),
        ("list.jsonl", '{"person": "Ann"', "line 1: not JSON"),
        ("list.jsonl", "[" * 100_000, "line 1: not JSON"),
        ("list.jsonl", '{"person": "Ann", "adress": "https://example.org/1.jpg"}', "line 1"),
        ("list.txt", "# nothing\n", "no address"),
    ],
)
def test_a_wrong_list_is_refused_by_its_line(tmp_path, name, text, words):
    with pytest.raises(BolidError, match=r"list\.") as error:
        read_list(write(tmp_path, name, text))
    assert words in str(error.value)


def test_another_encoding_is_said(tmp_path):
    with pytest.raises(BolidError, match="UTF-8"):
        read_list(write(tmp_path, "list.txt", "Анна,https://example.org/1.jpg", "cp1251"))
