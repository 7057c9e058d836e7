"""The journal: what a killed run leaves, what is tried again, whose folder is whose."""

import json

import pytest

from bolid.core.errors import BolidError
from bolid.data.collect.forget import forget
from bolid.data.collect.journal import JOURNAL, PEOPLE, Journal, Row


def row(address, status="kept", identity="Ann", **more):
    return Row(identity, address, f"{address}.html", status, "2026-01-01T00:00:00+00:00", **more)


def kept(address, mark="a", identity="Ann"):
    return row(address, identity=identity, file_name=f"{identity}/{mark}.jpg", sha256=mark * 64, size=(1200, 1000))


def test_what_is_decided_stays_so_in_the_next_run(tmp_path):
    journal = Journal(tmp_path, min_size=1000)
    rows = [
        kept("k"),
        row("f", "failed: HTTP 500"),
        row("r", "refused: robots.txt"),
        row("n", "noai: X-Robots-Tag: noai"),
    ]
    for found in [*rows, row("s", "small: 800x900 < 1000", size=(800, 900)), row("w", "wrong: not a picture")]:
        journal.add(found)
    journal.close()
    for least, small in ((1000, True), (500, False), (801, True)):
        again = Journal(tmp_path, min_size=least)
        decided = {address: again.decided(address) for address in "kfrnsw"}
        assert decided == {"k": True, "f": False, "r": False, "n": True, "s": small, "w": True}
        assert again.decided("k.html")
        assert again.kept == {"Ann": 1}
        again.close()


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path):
    journal = Journal(tmp_path)
    journal.add(kept("k"))
    journal.close()
    whole = (tmp_path / JOURNAL).read_bytes()
    for end in range(1, len(whole)):
        (tmp_path / JOURNAL).write_bytes(whole + whole[:end])
        if end % 50:
            continue
        again = Journal(tmp_path)
        assert again.kept == {"Ann": 1}
        again.add(kept("l", "b"))
        again.close()
        assert [json.loads(line)["address"] for line in (tmp_path / JOURNAL).read_text().splitlines()] == ["k", "l"]


def test_the_same_again_is_not_written_again(tmp_path):
    journal = Journal(tmp_path)
    for _ in range(3):
        journal.add(row("f", "failed: HTTP 500"))
    journal.add(kept("f"))
    journal.close()
    assert len((tmp_path / JOURNAL).read_text().splitlines()) == 2
    assert Journal(tmp_path, write=False).decided("f")


@pytest.mark.parametrize(
    "line",
    ["not json", "[]", "[" * 100_000, '{"identity": "Ann"}',
     json.dumps(vars(kept("k")) | {"file_name": "../../x.jpg"}), json.dumps(vars(kept("k")) | {"status": 3}),
     json.dumps(vars(kept("k")) | {"size": "large"}), json.dumps(vars(row("k", identity="../../home")))],
)  # fmt: skip
def test_a_hostile_or_broken_line_is_refused_by_its_number(tmp_path, line):
    (tmp_path / JOURNAL).write_text(json.dumps(vars(kept("k"))) + f"\n{line}\n")
    with pytest.raises(BolidError, match=r"line 2|outside"):
        Journal(tmp_path)


def test_one_run_at_a_time(tmp_path):
    journal = Journal(tmp_path)
    with pytest.raises(BolidError, match="another"):
        Journal(tmp_path)
    Journal(tmp_path, write=False)
    journal.close()
    Journal(tmp_path).close()


def test_half_a_photo_is_removed_and_nothing_else(tmp_path):
    journal = Journal(tmp_path)
    journal.folder_of("Ann", "a")
    journal.close()
    (tmp_path / "Ann").mkdir()
    names = [".0123456789abcdef0123.deadbeef.tmp.jpg", ".hidden.jpg", "own.jpg", ".own.deadbeef.tmp.jpg"]
    for name in names:
        (tmp_path / "Ann" / name).touch()
    Journal(tmp_path, write=False)
    assert len(list((tmp_path / "Ann").iterdir())) == 4
    Journal(tmp_path).close()
    assert {p.name for p in (tmp_path / "Ann").iterdir()} == set(names[1:])


def test_two_people_of_one_name_get_two_folders_whatever_their_order(tmp_path):
    journal = Journal(tmp_path)
    first, second = journal.folder_of("Ann", "/p/1"), journal.folder_of("ann", "/p/2")
    assert first == "Ann"
    assert second.startswith("ann-")
    journal.close()
    again = Journal(tmp_path)
    assert (again.folder_of("ann", "/p/2"), again.folder_of("Ann", "/p/1")) == (second, first)
    again.close()
    assert len((tmp_path / PEOPLE).read_text().splitlines()) == 2


def test_a_dry_run_writes_nothing(tmp_path):
    journal = Journal(tmp_path / "new", write=False)
    journal.add(kept("k"))
    journal.folder_of("Ann", "a")
    journal.close()
    assert not list(tmp_path.iterdir())


def test_somebody_who_is_forgotten_is_not_collected_again(tmp_path):
    assert forget(tmp_path, "Ann") == 0
    journal = Journal(tmp_path)
    for name in ("Ann", "Bo"):
        journal.add(kept(name, name[0].lower(), journal.folder_of(name, f"/p/{name}")))
    journal.close()
    assert forget(tmp_path, "Ann") == 1
    assert "Ann" not in (tmp_path / JOURNAL).read_text() + (tmp_path / PEOPLE).read_text()
    again = Journal(tmp_path)
    assert (again.is_forgotten("/p/Ann"), again.is_forgotten("/p/Bo")) == (True, False)
    assert again.kept == {"Bo": 1}
    again.close()
    assert forget(tmp_path, "Nobody") == 0
