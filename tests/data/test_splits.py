from collections import Counter
from dataclasses import replace

import pytest

from bolid.data.splits import hashed_split, hashed_splits, leave_out_copies, split_records
from tests.data import invariants
from tests.data.fabricate import fabricate


def test_without_folders_a_hash_decides(tmp_path):
    records = fabricate(tmp_path, {"": 40}, photos=2, size=(12, 8))
    splits = split_records(records, tmp_path)
    invariants.check_splits_disjoint(splits)
    assert all(splits.values())
    assert split_records(records[::-1], tmp_path)["val"] == [r for r in records[::-1] if r in splits["val"]]
    share = [hashed_split(f"person {k}") for k in range(4000)]
    assert share.count("train") / 4000 == pytest.approx(0.8, abs=0.02)
    assert share.count("val") / 4000 == pytest.approx(0.1, abs=0.02)
    assert [hashed_split(f"p00000{k}") for k in range(3)] == [
        "test",
        "train",
        "train",
    ]  # pinned: the split must never change
    assert hashed_splits(dict.fromkeys(map(str, range(400)), 2)) == {str(k): hashed_split(str(k)) for k in range(400)}


@pytest.mark.parametrize("people", range(1, 31))
def test_every_split_of_a_small_set_has_two_people(people):
    for names in ("p{}", "ann {}", "{}@home", "p{:06}"):
        found = hashed_splits({names.format(k): 3 for k in range(people)})
        counts = Counter(found.values())
        assert sum(counts.values()) == people
        if people >= 6:
            assert min(counts[split] for split in ("train", "val", "test")) >= 2
        else:
            assert counts == ({"train": people - 2, "test": 2} if people >= 4 else {"train": people})


def test_people_move_between_splits_only_while_one_would_be_too_small():
    photos = {f"ann {k}": 2 for k in range(60)}
    for count in range(6, 60):
        few, more = (hashed_splits(dict(list(photos.items())[:n])) for n in (count, count + 1))
        natural = Counter(map(hashed_split, few))
        if all(natural[split] >= 2 for split in ("train", "val", "test")):
            assert few.items() <= more.items()
        assert sum(few[i] != more[i] for i in few) <= 2


def test_people_of_one_photo_are_not_counted_on():
    photos = {f"ann {k}": 2 for k in range(6)} | {f"bob {k}": 1 for k in range(30)}
    found = hashed_splits(photos)
    assert Counter(found[i] for i, count in photos.items() if count == 2) == {"train": 2, "val": 2, "test": 2}
    assert all(found[i] == hashed_split(i) for i, count in photos.items() if count == 1)


def test_copies_are_no_references_and_photos_of_two_people_are_nobodys(tmp_path, caplog):
    records = fabricate(tmp_path, {"": 3})
    copy = replace(records[1], file_name="p000000/9.png")
    stolen = replace(records[3], file_name="p000002/9.png", identity="p000002")
    kept = leave_out_copies([*records, copy, stolen], tmp_path)
    assert [r.file_name for r in kept] == [r.file_name for r in records if r is not records[3]]
    assert "p000000/9.png" in caplog.text
    assert "p000001/0.png, p000002/9.png" in caplog.text
    rendered = [replace(r, renderer=2) for r in (records[0], copy, records[1])]
    assert leave_out_copies(rendered, tmp_path) == rendered
    unknown = [replace(r, sha256="") for r in records]
    assert leave_out_copies(unknown, tmp_path) == unknown
