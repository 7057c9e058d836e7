"""One command from a folder of photos to a person and images, on rendered photos and the embedded bundle."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image

from bolid.cli import main
from bolid.commands import personalize
from bolid.core.identity_file import IdentityFolder
from bolid.core.photos import RENDERED, is_rendered, marked
from bolid.core.trained_on import CARD
from bolid.pipelines.card import Card, Part

ROOT = Path(__file__).parents[2]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of two photos of a rendered person, and a note that is none."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ann"
    folder.mkdir()
    for number in (0, 1):
        (folder / f"{number}.png").write_bytes(marked((ROOT / "docs/person.png").read_bytes(), f"{RENDERED} v2"))
    (folder / "notes.txt").write_text("not a photo")
    return folder


def test_a_person_is_stored_and_generated_and_every_step_names_its_own_command(photos, capsys):
    assert main(["personalize", str(photos), "--prompts", "a photo of a person, walking", "a photo of a person"]) == 0
    printed = capsys.readouterr().out
    assert f"1/2  reading 2 of 2 photos in {photos}" in printed
    create, generate = (shlex.split(command)[1:] for command in re.findall("alone: `(.*)`", printed))
    assert generate == [
        "generate",
        "a photo of a person, walking",
        "--identity",
        "ann",
        "--adapter",
        "data/tiny/adapter",
    ]
    before = IdentityFolder(Path("data/identities")).load("ann")
    assert main([*create, "--replace", "true"]) == 0
    again = IdentityFolder(Path("data/identities")).load("ann")
    assert before.keys() == again.keys()
    assert all(torch.equal(before[name].values, again[name].values) for name in before)
    assert "body" in IdentityFolder(Path("data/identities")).load("ann")
    for image in ("ann_0.png", "ann_1.png", "ann.png"):
        assert is_rendered(Path("pictures") / image)  # no photo of anybody
    with Image.open("pictures/ann_0.png") as image:
        assert image.size == (64, 96)
    with Image.open("pictures/ann.png") as sheet:
        assert sheet.width > 2 * 64


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base", "sdxl"], "no adapter for sdxl comes with BoLID: give --adapter"),
        (["--base", "sd15", "--adapter", "data/tiny/adapter"], "which is not sd15"),
        (["--adapter", "missing"], "missing is missing or holds no adapter.json"),
        (["--adapter", "own"], "was trained for org/name, which is not tiny"),
        (["--device", "abacus"], "device='abacus' cannot be used"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_read(photos, capsys, words, message):
    Path("own").mkdir()
    Card(Part("StableDiffusion", {"path": "org/name"}), {}).write(Path("own"))
    assert (Path("own") / CARD).is_file()
    assert main(["personalize", str(photos), *words]) == 1
    told = capsys.readouterr()
    assert message in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert "reading" not in told.out


def test_of_many_photos_the_first_are_read_and_that_is_said(photos, capsys, monkeypatch):
    monkeypatch.setattr(personalize, "MAX_PHOTOS", 1)
    assert main(["personalize", str(photos), "--prompts", "a photo of a person", "--face", "none"]) == 0
    printed = capsys.readouterr().out
    assert f"reading 1 of 2 photos in {photos}" in printed
    assert f"--face none --photos {photos}/0.png`" in printed


def test_no_prompt_is_refused(photos, capsys):
    assert main(["personalize", str(photos), "--prompts", "[]"]) == 1
    assert "prompt: none is given" in capsys.readouterr().err


def test_a_folder_without_photos_is_refused(photos, capsys):
    (photos / "sub").mkdir()
    for place, message in (("sub", "holds no photo"), ("none", "is no folder"), ("notes.txt", "is no folder")):
        assert main(["personalize", str(photos / place)]) == 1
        assert message in capsys.readouterr().err
