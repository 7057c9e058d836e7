"""The page of a set: what it says, that nothing of a file's is HTML, and that a browser shows it."""

import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from bolid.cli import main
from bolid.core.errors import BolidError
from bolid.core.schema import ImageRecord, Phrase
from bolid.data.annotate.annotate import annotate_photos
from bolid.data.curate.filters import Size
from bolid.data.curate.run import curate_photos
from bolid.data.inspect.gather import framing, view
from bolid.data.inspect.run import inspect
from bolid.data.manifest import write_manifest
from tests.data.annotate.fakes import load
from tests.data.annotate.fakes import photo as drawn
from tests.data.curate.photos import people, picture, write
from tests.data.curate.test_curate import plain

EVIL = "<script>document.title='owned'</script>\"'&\u202e"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tags(HTMLParser):
    """Which elements a page has, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self.sources = [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def curated(tmp_path):
    """Three people, one small photo, one blurred, and a person of whom one photo is left."""
    folder = tmp_path / "<b>set"
    people(folder)
    write(folder, "p0/small.jpg", picture(70, (90, 80)))
    write(folder, "p1/blurred.jpg", picture(71, (40, 30)).resize((320, 240)))
    write(folder, "p4 <i>/only.jpg", picture(72))
    curate_photos(folder, plain(size=Size(100)))
    return folder


def test_the_page_says_what_is_kept_and_shows_each_reason(curated, tmp_path):
    told = inspect(curated, tmp_path / "page.html")
    page = Tags((tmp_path / "page.html").read_text())
    assert "12 of 15 photos of 3 people are kept" in told
    for text in ("small: 80 < 100 pixels", "blurry: ", "few photos: 1 < 2", "p0/small.jpg", "without size", "p4 <i>"):
        assert text in page.text
    assert page.tags.count("img") == 15
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not {"script", "b", "link", "iframe"} & set(page.tags)


def test_what_annotation_left_out_is_not_kept(tmp_path):
    folder = tmp_path / "album"
    for name in ("ann/1.png", "ann/2.png", "ann/3.png", "bob/x.png"):
        drawn(folder / name)
    drawn(folder / "ann/nobody.png", colour=(0, 0, 90))
    drawn(folder / "bob/small.png", (40, 60), (10, 10, 30, 50))
    (folder / "bob/broken.jpg").write_bytes(b"no photo")
    (folder / "bob/notes.md").write_text("no photo either")
    unasked = dict.fromkeys(("decodable", "copies", "exposure", "blurry", "caption"))
    curate_photos(folder, plain(**unasked, size=Size(50)), min_photos=1)
    annotate_photos(folder, load)
    drawn(folder / "bob/later.png")
    curate_photos(folder, plain(**unasked, size=Size(50)), min_photos=1)
    told = inspect(folder, tmp_path / "page.html")
    page = Tags((tmp_path / "page.html").read_text())
    assert "4 of 8 photos of 2 people are kept" in told
    for text in (
        "without annotate: nobody",
        "without annotate: unreadable",
        "without size",
        "without not annotated yet",
    ):
        assert text in page.text
    assert "notes.md" not in page.text
    (folder / ".annotations/left_out.jsonl").write_text("{broken")
    with pytest.raises(BolidError, match="bolid data annotate"):
        inspect(folder, tmp_path / "page.html")


def test_nothing_of_a_manifest_is_html(tmp_path):
    names = people(tmp_path / "set", 1)
    keypoints, box = np.ones((17, 3), np.float32), np.ones(4, np.float32)
    more = {"attributes": {EVIL: EVIL}, "rejected": EVIL, "verdicts": {EVIL: EVIL}}
    records = [ImageRecord(name, EVIL, [Phrase("text", EVIL)], keypoints, box) for name in names[:3]]
    records.append(ImageRecord(names[3], EVIL, [Phrase("text", EVIL)], keypoints, box, **more))
    write_manifest(tmp_path / "set", records)
    inspect(tmp_path / "set", tmp_path / "page.html")
    page = Tags((tmp_path / "page.html").read_text())
    assert "script" not in page.tags
    assert "<script>" in page.text
    assert "\u202e" not in page.text


def test_a_photo_that_is_gone_is_named_and_ends_nothing(curated, tmp_path):
    (curated / "p0/0.jpg").unlink()
    (curated / "p0/1.jpg").write_bytes(b"no photo")
    inspect(curated, tmp_path / "page.html")
    assert Tags((tmp_path / "page.html").read_text()).text.count("cannot be shown") == 2


def test_what_is_seen_is_told_from_keypoints():
    def record(*seen):
        keypoints = np.zeros((17, 3), np.float32)
        keypoints[list(seen)] = 1
        return ImageRecord("a", "a", [], keypoints, np.ones(4, np.float32))

    assert framing(record(0, 5, 6, 11, 13, 15)) == "whole figure"
    assert framing(record(0, 5, 6)) == "bust"
    assert view(record(0, 1, 2, 3, 4)) == "from the front"
    assert view(record(0, 1, 2, 3)) == "half from the side"
    assert view(record(0, 1, 3)) == "from the side"
    assert view(record(5, 6)) == "from behind, or no head"


def test_the_command_line_refuses_what_it_cannot_show(tmp_path, capsys):
    assert main(["data", "inspect", str(tmp_path), "--out", str(tmp_path / "page.html")]) == 1
    assert "bolid data curate" in capsys.readouterr().err
    with pytest.raises(BolidError, match=r"must end in \.html"):
        inspect(tmp_path, tmp_path / "page.txt")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no chromium here; apt-get install chromium")
def test_a_browser_shows_it(curated, tmp_path):
    inspect(curated, tmp_path / "page.html")
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    words += ["--window-size=1200,2400", f"--screenshot={tmp_path / 'shot.png'}", "--dump-dom"]
    shown = subprocess.run([*words, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=300)
    assert re.search(r'id="funnel"', shown.stdout), shown.stderr[-500:]
    from PIL import Image

    assert len(Image.open(tmp_path / "shot.png").convert("RGB").getcolors(1 << 24)) > 100
