"""The real spider, in a process of its own, on a site on loopback that does what sites do wrong."""

import os
import random
import signal
import subprocess
import time
from hashlib import sha256

import pytest

from bolid.cli import main
from bolid.data.collect.journal import KEPT, PEOPLE
from tests.data.collect.gallery import (
    LOOPBACK,
    ROOT,
    Answer,
    Gallery,
    command,
    described,
    faulty,
    files,
    picture,
    rows,
    run,
)

STATUS = {  # of Fay's photos, in their order: how each begins
    "html": "wrong: the answer is text/html",
    "fake": "wrong: not a picture",
    "cut": "wrong: not a readable picture",
    "short": "failed: ResponseDataLossError",
    "slow": "failed: no whole answer in time",
    "huge": "large: over 50 MB",
    "endless": "large: over 50 MB",
    "zipped": "large: over 50 MB",
    "bomb": "wrong: over the limit",
    "loop": "failed: max redirections",
    "away": "refused: 127.0.0.2 is a private address",
    "noai": "noai: X-Robots-Tag: noai",
    "noindex": "noai: X-Robots-Tag: noindex",
    "other": KEPT,
    "busy": KEPT,
    "flaky": KEPT,
    "gone": "failed: HTTP 404",
    "copy": "duplicate: of Ann/",
    "small": "small: 24x24 < 32",
    "untyped": KEPT,
    "vector": "wrong: not a picture",
    "small by its page": "small: 30x20 < 32",
    "robots": "refused: robots.txt",
    "metadata": "refused: 169.254.169.254 is a private address",
    "literal": "refused: ::1 is a private address",
    "number": "refused: 2130706434 has the private address 127.0.0.2",
    "file": "failed: HTTP 404",  # its page names no address of http, so its thumbnail's is tried
    "nowhere": "refused: its robots.txt cannot be had (CannotResolveHostError",
    "known": "duplicate: its address is known",
    "page": "noai: its page says noai",
}
DOWNLOADED_ONCE = {"huge": 5, "endless": 6, "zipped": 7, "bomb": 8, "noai": 11, "vector": 20}


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    """The faulty site, collected once: site, folder, what the process said, what was asked for."""
    folder = tmp_path_factory.mktemp("crawled")
    site = faulty()
    with site.served():
        done = run(folder / "out", described(site, folder), *LOOPBACK, "--timeout", "3")
        yield site, folder / "out", done, list(site.asked)


def test_every_fault_is_named_and_ends_nothing(crawled):
    _, folder, done, _ = crawled
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = {row["page"]: row for row in rows(folder)}
    fay = [row for row in found.values() if row["identity"] == "Fay"]
    assert len(fay) == len(STATUS)
    for (fault, status), row in zip(STATUS.items(), fay, strict=True):
        assert row["status"].startswith(status), fault
    assert done.stdout.splitlines()[0].endswith("15 photos of 3 people, 15 of them new")
    assert "not kept: " in done.stdout


def test_photos_lie_where_the_journal_says_with_what_it_says(crawled):
    site, folder, _, _ = crawled
    photos = files(folder)
    kept = [row for row in rows(folder) if row["status"] == KEPT]
    assert {row["file_name"] for row in kept} == set(photos)
    for row in kept:
        content = photos[row["file_name"]]
        path = row["address"].removeprefix(site.root)
        answer = site.answers[path]
        assert content == (answer.later.body if answer.later else answer.body)
        assert row["sha256"] == sha256(content).hexdigest()
        assert (row["bytes"], row["size"], row["licence"]) == (len(content), [48, 40], "CC0 by the test")
        assert row["page"] == f"{site.root}/photo/{row['identity']}/{path.split('/')[-1].split('.')[0]}"
        assert row["time"].endswith("+00:00")
    assert {row["sha256"] for row in rows(folder) if row["status"] != KEPT and row["file_name"]} == set()
    assert sorted(p.name for p in folder.rglob(".*")) == [".collected"]


def test_the_site_is_asked_politely(crawled):
    site, _, _, asked = crawled
    paths = [path for path, _, _ in asked]
    assert paths[0] == "/robots.txt"
    assert paths.count("/robots.txt") == 1
    assert not [path for path in paths if path.startswith("/secret")]
    assert all("tests@example.org" in headers["User-Agent"] for _, _, headers in asked)
    assert not any("Cookie" in headers for _, _, headers in asked)
    assert max(site.count.values()) <= 9  # pages and photos once; what fails, four times; the loop's five turns twice
    for fault, number in DOWNLOADED_ONCE.items():
        assert paths.count(f"/full/Fay/{number}.jpg") == 1, fault
    assert not site.count["/full/small.jpg"]  # its page says how small it is
    times = [moment for path, moment, _ in asked if path == "/full/Fay/14.jpg"]
    assert times[1] - times[0] >= 2  # 429 with Retry-After: 2
    resting = [path for path, moment, _ in asked if times[0] + 0.8 < moment < times[0] + 2]
    assert resting == []  # nothing else either, but what was under way


def test_a_second_run_asks_for_nothing_that_is_decided(crawled):
    site, folder, _, asked = crawled
    before, lines = files(folder), len(rows(folder))
    done = run(folder, described(site, folder.parent), *LOOPBACK, "--timeout", "3", "--names", "Ann", "Zoe")
    assert done.returncode == 0, done.stderr
    again = site.paths()[len(asked) :]
    assert {path.split("?")[0] for path in again} == {"/robots.txt", "/", "/list/1", "/p/Ann", "/p/Zoe"}
    assert files(folder) == before
    assert len(rows(folder)) == lines
    assert "15 photos of 3 people, 0 of them new" in done.stdout


def plain(people=3, photos=8, **more):
    """A site without faults, but for copies across people and answers that come late."""
    site = Gallery()
    site.answers["/robots.txt"] = Answer(b"nothing", "text/html", 404)
    for person in range(people):
        numbers = [100 * person + n for n in range(photos)]
        site.add(
            f"P{person}", *(Answer(picture(n), times=n % 3, status=500, later=Answer(picture(n))) for n in numbers)
        )
        site.add(f"P{person}", picture(0), picture(1))
    site.build()
    for answer in site.answers.values():
        if answer.later:
            answer.status, answer.times = (500, 1) if answer.times == 2 else (200, None)
    return site


def test_as_many_people_and_photos_as_are_wanted(tmp_path):
    site = plain()
    with site.served():
        path = described(site, tmp_path)
        dry = run(tmp_path / "dry", path, *LOOPBACK, "--photos", "4", "--people", "2", "--dry_run", "true")
        assert dry.stdout.splitlines()[:3] == [
            "P0: 0 here, 4 to load, 10 by the site's count",
            "P1: 0 here, 4 to load, 10 by the site's count",
            "P2: 0 here, 4 to load, 10 by the site's count",
        ]
        assert not (tmp_path / "dry").exists()
        assert not [name for name in site.paths() if name.startswith(("/photo", "/full"))]
        first = run(tmp_path / "out", path, *LOOPBACK, "--photos", "4", "--people", "2")
        assert "8 photos of 2 people, 8 of them new" in first.stdout, first.stderr
        assert len([name for name in set(site.paths()) if name.startswith("/full")]) == 8  # and not one more
        again = run(tmp_path / "out", path, *LOOPBACK, "--photos", "6", "--at_least", "6", "--names", "p0", "Zed")
        assert "no person is called Zed" in again.stdout
        assert "10 photos of 2 people, 2 of them new" in again.stdout
        few = run(tmp_path / "few", path, *LOOPBACK, "--photos", "20", "--at_least", "11")
        assert "0 photos of 0 people" in few.stdout
        assert "fewer than 11 photos: P0 (0), P1 (0), P2 (0)" in few.stdout


def test_a_list_of_addresses(tmp_path):
    site = plain()
    path = tmp_path / "list.csv"
    lines = [f"Ann Lee,{site.root}/full/P0/{n}.jpg,CC BY 4.0" for n in range(4)] + [
        f"../Bo,{site.root}/full/P1/3.jpg,own"
    ]
    path.write_text("\n".join(["person,address,licence", *lines, lines[0], f"Bo,{site.root}/full/P0/0.jpg,own"]))
    with site.served():
        done = run(tmp_path / "out", path, *LOOPBACK)
    assert "5 photos of 2 people, 5 of them new" in done.stdout, done.stderr
    assert {name.split("/")[0] for name in files(tmp_path / "out")} == {"Ann Lee", "Bo"}
    assert {row["licence"] for row in rows(tmp_path / "out")} == {"CC BY 4.0", "own"}
    assert site.count[f"/full/P0/{0}.jpg"] == 1


def test_private_networks_are_refused_unless_allowed(tmp_path):
    site = plain(1, 2)
    path = tmp_path / "list.txt"
    path.write_text(
        "".join(f"Ann,http://{host}:{site.server.server_port}/full/P0/0.jpg\n" for host in ("127.0.0.1", "localhost"))
    )
    with site.served():
        done = run(tmp_path / "out", path)
        assert "2 refused" in done.stdout, done.stderr
        assert site.asked == []
        assert ["private address" in row["status"] for row in rows(tmp_path / "out")] == [True, True]
        assert "1 of them new" in run(tmp_path / "out", path, "--allow_private", "all").stdout


def test_a_robots_txt_that_cannot_be_had_forbids_all(tmp_path):
    site = plain(1, 2)
    site.answers["/robots.txt"] = Answer(b"busy", "text/plain", 500)
    with site.served():
        done = run(tmp_path / "out", described(site, tmp_path), *LOOPBACK)
    assert "went wrong: " in done.stdout
    assert "robots.txt cannot be had (ConnectionError: HTTP 500)" in done.stdout
    assert set(site.paths()) == {"/robots.txt"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--contact", "me"], "--contact"),
        (["--photos", "0"], "--photos"),
        (["--at_least", "9", "--photos", "3"], "at_least"),
        (["--allow_private", "localhost"], "--allow_private"),
        (["--delay", "-1"], "--delay"),
        (["--people", "many"], "people"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path, capsys, words, message):  # in this process: no spider is started
    folder = str(tmp_path / "out")
    assert main(["data", "collect", folder, "theplace-2", "--contact", "me@example.org", *words]) == 1
    errors = capsys.readouterr().err
    assert len(errors.splitlines()) == 1
    assert message in errors


def started(folder, site, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command(folder, site, *words), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_ctrl_c_ends_cleanly_and_the_next_run_goes_on(tmp_path):
    site = plain(2, 6)
    site.answers["/full/P0/4.jpg"] = Answer(picture(4), pause=0.05)
    with site.served():
        path = described(site, tmp_path)
        process = started(tmp_path / "out", path, *LOOPBACK)
        while not site.count["/full/P0/4.jpg"]:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert errors.splitlines()[-1] == "stopped; the same command goes on"
        assert "Traceback" not in errors
        assert 0 < len(files(tmp_path / "out")) < 12
        assert not list((tmp_path / "out").rglob("*.tmp.*"))
        site.answers["/full/P0/4.jpg"] = Answer(picture(4))
        done = run(tmp_path / "out", path, *LOOPBACK)
    assert "12 photos of 2 people" in done.stdout, done.stdout + done.stderr


def killed_and_resumed(tmp_path, kills, seed):
    """Photos of an uninterrupted run, and of one that was killed at random points and went on."""
    random_ = random.Random(seed)
    site = plain(4, 9)
    with site.served():
        path = described(site, tmp_path)
        words = [*LOOPBACK, "--photos", "8", "--at_least", "3"]
        assert run(tmp_path / "whole", path, *words).returncode == 0
        total = len(site.asked)
        deaths = 0
        for _ in range(kills):
            process = started(tmp_path / "killed", path, *words)
            last, pause = len(site.asked) + random_.randint(1, total // max(3, kills - 2)), random_.uniform(0, 0.03)
            site.notice = lambda number, p=process, at=last, wait=pause: number == at and (time.sleep(wait), p.kill())
            deaths += process.wait(timeout=60) == -signal.SIGKILL
            site.notice = lambda number: None
            process.communicate()
        assert run(tmp_path / "killed", path, *words).returncode == 0
    return files(tmp_path / "whole"), files(tmp_path / "killed"), deaths


def check_same(tmp_path, kills, seed):
    whole, killed, deaths = killed_and_resumed(tmp_path, kills, seed)
    assert deaths >= 0.7 * kills  # a run that has little left may end before
    assert len(whole) == 32
    assert killed == whole

    def content(folder):
        return [(row["file_name"], row["address"], row["status"]) for row in rows(folder) if row["status"] == KEPT]

    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert (tmp_path / "killed" / PEOPLE).read_bytes() == (tmp_path / "whole" / PEOPLE).read_bytes()


def test_a_killed_run_goes_on_to_the_same_photos(tmp_path):
    check_same(tmp_path, 1, 0)


@pytest.mark.slow
def test_ten_kills_at_random_points_come_to_the_same_photos(tmp_path):
    check_same(tmp_path, 10, random.randrange(10**6))


def test_pages_that_are_broken_end_nothing_and_are_named(tmp_path):
    site = plain(6, 4)
    around = {"status": 302, "headers": {"Location": "/list/1"}}
    site.answers["/list/1"] = Answer(**around)  # the page of P2 and P3
    site.answers["/p/P0?page=2"] = Answer(b"broken", "text/html", 500)
    site.answers["/p/P1"] = Answer(b"x", "text/html", length=5 * 2**30)
    site.answers["/p/P5"] = Answer(picture(1), "image/jpeg")
    site.answers["/photo/P4/1"] = Answer(b"<a href=", "text/html", pause=2.0)
    site.answers["/photo/P4/2"] = Answer(b"\xff\xfe\x00" * 1000, "text/html; charset=klingon")
    with site.served():
        done = run(tmp_path / "out", described(site, tmp_path), *LOOPBACK, "--timeout", "2")
    assert done.returncode == 0, done.stderr
    kept = [row["address"].removeprefix(site.root) for row in rows(tmp_path / "out") if row["status"] == KEPT]
    assert kept == [f"/full/{photo}.jpg" for photo in ("P0/0", "P0/1", "P0/2", "P4/0", "P4/3")]
    for named in (
        "/p/P0?page=2: failed: HTTP 500",
        "/p/P1: large",
        "/list/1: failed: max",
        "/p/P5: failed: not a page",
    ):
        assert site.root + named in done.stdout
    assert "2 failed" in done.stdout  # the photos whose pages are slow, and of no encoding
