"""Captions by a model: for photos without one, each once, and without the person's name."""

import pytest

from bolid.core.errors import BolidError
from bolid.core.schema import ANYBODY
from bolid.data.annotate import describe
from bolid.data.annotate.annotate import annotate_photos
from bolid.data.manifest import read_manifest
from bolid.vision.caption import Captioner
from tests.data.annotate.fakes import load, photo
from tests.vision.caption_models import save_vit_gpt2


@pytest.fixture
def album(tmp_path):
    for person in ("ann", "Miller"):
        for number in range(6):
            photo(tmp_path / "album" / person / f"{number}.png", shade=10 * number + len(person))
    (tmp_path / "album" / "ann" / "0.txt").write_text("given")
    return tmp_path / "album"


def captions(folder):
    return {r.file_name: r.caption for r in read_manifest(folder)}


@pytest.fixture
def asked(monkeypatch):
    """How many photos the model was asked of each time, after its first look."""
    counts, real = [], Captioner.describe

    def counting(self, pictures):
        counts.append(len(pictures))
        return real(self, pictures)

    monkeypatch.setattr(Captioner, "describe", counting)
    return counts


def test_a_model_describes_what_nobody_described_once(album, tmp_path, asked):
    model = str(save_vit_gpt2(tmp_path / "model"))
    assert "12 with a caption, 0 without" in str(annotate_photos(album, load, captioner=model))
    first = captions(album)
    assert first["ann/0.png"] == "given"
    assert ANYBODY not in first.values()
    assert asked == [1, 8, 3]  # a first look at nothing, then batches
    photo(album / "ann" / "new.png", shade=119)
    annotate_photos(album, load, captioner=model)
    assert asked[3:] == [1, 1]
    assert {name: text for name, text in captions(album).items() if name in first} == first
    annotate_photos(album, load)
    assert captions(album)["ann/1.png"] == ANYBODY  # a model's captions are for the run that asks for them


class Gossip(Captioner):
    """A model that knows everybody, and fails on some photos."""

    fingerprint = "gossip"

    def __init__(self, *_):
        self.failing = set()

    def describe(self, pictures):
        if any(picture.getpixel((0, 0))[2] in self.failing for picture in pictures):
            raise TypeError("shapes do not match")
        return ["Ann MILLER and ánn in a red coat, Annapolis\n"] * len(pictures)


def test_the_persons_name_is_in_no_caption(album, monkeypatch):
    monkeypatch.setattr(describe, "Captioner", Gossip)
    annotate_photos(album, load, captioner="gossip")
    found = captions(album)
    assert found["ann/1.png"] == "the person MILLER and the person in a red coat, Annapolis"
    assert found["Miller/1.png"] == "Ann the person and ánn in a red coat, Annapolis"


def test_a_photo_that_the_model_fails_on_costs_its_caption_alone(album, monkeypatch):
    gossip = Gossip()
    gossip.failing = {13}
    monkeypatch.setattr(describe, "Captioner", lambda *_: gossip)
    summary = annotate_photos(album, load, captioner="gossip")
    assert "photos that the caption model failed on: ann/1.png" in str(summary)
    assert "11 with a caption, 1 without" in str(summary)
    gossip.failing = set()
    assert "12 with a caption, 0 without" in str(annotate_photos(album, load, captioner="gossip"))


def test_what_was_described_before_the_end_of_a_run_is_kept(album, monkeypatch):
    gossip, seen = Gossip(), []

    def interrupted(pictures):
        if seen:
            raise KeyboardInterrupt
        seen.append(len(pictures))
        return ["a woman"] * len(pictures)

    gossip.describe = interrupted
    monkeypatch.setattr(describe, "Captioner", lambda *_: gossip)
    with pytest.raises(KeyboardInterrupt):
        annotate_photos(album, load, captioner="gossip")
    monkeypatch.setattr(describe, "Captioner", Gossip)
    annotate_photos(album, load, captioner="gossip")
    assert list(captions(album).values()).count("a woman") == 8


def test_a_model_that_is_not_there_is_one_line(album, tmp_path):
    with pytest.raises(BolidError, match="no such folder"):
        annotate_photos(album, load, captioner=str(tmp_path / "nowhere"))
