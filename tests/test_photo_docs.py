"""The pages on photographs: the walkthrough's commands are run as they stand, on fewer photos."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from bolid.data.manifest import read_manifest
from tests.pages import ROOT, commands, verb

PAGES = sorted((ROOT / "docs/photos").glob("*.md"))
# What makes each command of the walkthrough a matter of seconds; options that are given twice count as said last.
FEW = {
    "data render": ["--photos", "5", "--size", "[528,352]"],
    "data collect": ["--min_size", "300"],
    "data curate": ["--filters.size.shortest", "300"],
    "fit": [
        *("--trainer.max_steps", "2", "--data.init_args.batch_size", "2", "--trainer.limit_val_batches", "0"),
        *("--trainer.accelerator", "cpu", "--trainer.precision", "32-true"),
    ],
    "generate": ["--steps", "1"],
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with what a checkout has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("data").mkdir()
    for name in ("data/tiny", "configs", "docs"):
        Path(name).symlink_to(ROOT / name)
    return tmp_path


def run(words):
    """Runs a command of the docs in a process of its own, and returns what it prints."""
    words = [sys.executable, "-m", "bolid.cli", *words[1:], *FEW.get(verb(words), [])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (words, done.stderr[-2000:])
    return done.stdout


@pytest.fixture
def gallery(here):
    """Starts the walkthrough's gallery on a free port, and describes it in a file."""
    started = []

    def start(words):
        process = subprocess.Popen([sys.executable, *words[1:], "--port", "0"], stdout=subprocess.PIPE, text=True)
        started.append(process)
        address = process.stdout.readline().split()[0]
        site = (ROOT / "configs/collect/gallery.yaml").read_text().replace("http://127.0.0.1:8000/", address)
        (here / "gallery.yaml").write_text(site)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.skipif(not all(map(find_spec, ("anny", "pyvista", "scrapy"))), reason="pip install bolid[people,collect]")
def test_the_walkthrough_draws_somebody(gallery, here):
    text = (ROOT / "docs/photos/walkthrough.md").read_text().split("## The same with photographs")[0]
    lines = [words for words in commands(text) if words[0] != "pip"]
    assert [verb(words) for words in lines if words[0] == "bolid"] == [
        *("data render", "data collect", "data curate", "data annotate", "fit", "data inspect"),
        *("identity create", "generate"),
    ]
    said = {}
    for words in lines:
        if words[0] == "python":
            gallery(words)
        else:
            words = [word.replace("gallery", "gallery.yaml") if word == "gallery" else word for word in words]
            said[verb(words)] = run(words)
    assert "30 photos of 6 people, 30 of them new" in said["data collect"]
    assert re.search(r"rejected: copies \d+, blurry \d+", said["data curate"])
    assert 12 <= len(read_manifest(here / "photos")) <= 18  # of 30, of which 12 are spoiled
    assert "copies" in Path("page.html").read_text()
    assert Path("data/identities/ann.safetensors").is_file()
    drawn = list(Path("pictures").glob("*.png"))
    assert len(drawn) == 2
    with Image.open(drawn[0]) as picture:
        assert picture.size == (64, 96)


def test_pictures_of_the_docs_are_small():
    files = list((ROOT / "docs/photos/pictures").iterdir())
    assert sum(file.stat().st_size for file in files) < 600_000
    assert {file.name for file in files} == set(
        re.findall(r"pictures/([\w.]+)", "".join(page.read_text() for page in PAGES))
    )
