"""`bolid identity create --photos`: by networks that fit the photos, of one person."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.conditions import PoseCondition
from bolid.core.identity_file import IdentityFolder
from bolid.core.photos import marked
from bolid.models.backbones import StableDiffusion
from bolid.pipelines import reading
from tests import miniature
from tests.data.annotate.fakes import Finder, photo
from tests.pipelines.test_bolid_pipeline import installed, new_pipeline

HOME = IdentityFolder(Path("data/identities"))
NUMBERS = 128


class Recogniser:
    """A face is the red of who is at the keypoints, in as many numbers as dlib's."""

    def __init__(self, name):
        self.fingerprint = str(name).encode().hex().ljust(64, "0")

    def embed(self, rgb, keypoints):
        x, y = keypoints[0, :2].astype(int)
        turn = float(rgb[y, x, 0]) / 255 * np.pi * 2
        return np.resize(np.array([np.cos(turn), np.sin(turn)], np.float32), NUMBERS) / NUMBERS**0.5 * 2**0.5


@pytest.fixture
def loaded(monkeypatch):
    """The names of the networks that are loaded, all of which know colours."""
    names = []

    def estimator(name):
        names.append(str(name))
        return Finder()

    def recogniser(name):
        names.append(str(name))
        return Recogniser(name)

    monkeypatch.setattr(reading, "pose_estimator", estimator)
    monkeypatch.setattr(reading, "face_recogniser", recogniser)
    return names


def render(path):
    photo(path)
    path.write_bytes(marked(path.read_bytes(), "rendered v2"))


def group(path, reds=(200, 255)):
    photo(path, (100, 96), (4, 10, 40, 90), (reds[0], 0, 0))
    with Image.open(path) as picture:
        picture.paste((reds[1], 0, 0), (60, 10, 90, 90))
        picture.save(path)


CREATE = ["identity", "create", "--name", "ann", "--replace", "true", "--photos"]


def test_photographs_are_read_by_networks_that_know_them_and_renders_by_the_embedded(run, loaded):
    photo(Path("1.png"))
    render(Path("2.png"))
    status, out, _ = run(*CREATE, "1.png")
    assert (status, loaded) == (0, ["dlib-face", "movenet+blazepose"])
    assert "body (8 numbers) and face (128 numbers)" in out
    assert HOME.load("ann")["face"].model == Recogniser("dlib-face").fingerprint
    loaded.clear()
    assert run(*CREATE, "2.png")[0] == 0
    assert loaded == ["data/tiny/face/face.onnx", "data/tiny/pose"]


def test_what_is_not_fetched_is_named_with_the_command(run, monkeypatch, tmp_path):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "nothing"))
    photo(Path("1.png"))
    status, _, err = run(*CREATE, "1.png")
    assert (status, err.count("\n")) == (1, 1)
    assert "run `bolid networks get dlib-face`" in err


def test_embedded_networks_refuse_photographs_by_name_unless_they_are_asked_for(run, loaded, caplog):
    photo(Path("1.png"))
    render(Path("2.png"))
    given = ["--pose", "data/tiny/pose", "--face", "data/tiny/face/face.onnx"]
    words = "1.png: data/tiny/pose and data/tiny/face/face.onnx know rendered people alone; see --networks"
    status, _, err = run(*CREATE, "1.png", *given)
    assert (status, words in err) == (1, True)
    assert run(*CREATE, "1.png", "2.png", *given)[0] == 0
    assert f"left out: {words}" in caplog.text
    caplog.clear()
    assert run(*CREATE, "1.png", "--networks", "embedded")[0] == 0
    assert caplog.text == ""


def test_of_a_group_nobody_is_read_unless_it_is_said_who(run, loaded):
    group(Path("group.png"))
    for person, red in (("left", 200), ("right", 255), ("largest", 200)):
        assert run(*CREATE, "group.png", "--person", person)[0] == 0
        assert torch.equal(HOME.load("ann")["face"].values, face_of(red))
    photo(Path("face.png"), colour=(252, 0, 0))
    assert run(*CREATE, "group.png", "--person", "face.png")[0] == 0
    assert torch.equal(HOME.load("ann")["face"].values, face_of(255))
    for more, told in (
        ([], "group.png: 2 people; crop the photo to one of them"),
        (["--person", "front"], "person: 'front' is none of only, left, right, largest, and there is no photo"),
        (["--person", "group.png"], "person: group.png: 2 people"),
        (["--person", "face.png", "--face", "none"], "takes a face recogniser"),
    ):
        status, _, err = run(*CREATE, "group.png", *more)
        assert (status, err.count("\n"), told in err) == (1, 1, True), err


def face_of(red):
    rgb = np.full((4, 4, 3), red, np.uint8)
    return torch.from_numpy(Recogniser("").embed(rgb, np.ones((17, 3))))


def test_faces_that_disagree_with_the_majority_are_named(run, loaded, caplog):
    for number, red in enumerate((200, 201, 202, 255)):
        photo(Path(f"{number}.png"), colour=(red, 0, 0))
    assert run(*CREATE, *(f"{k}.png" for k in range(4)))[0] == 0
    assert "faces that disagree with the majority, perhaps of another person: 3.png" in caplog.text
    caplog.clear()
    assert run(*CREATE, *(f"{k}.png" for k in range(3)))[0] == 0
    assert "disagree" not in caplog.text


@pytest.mark.parametrize(
    ("trained", "told"),
    [
        (Recogniser("dlib-face").fingerprint, None),
        (
            "e" * 64,
            "by --face the recogniser that annotated the adapter's photos, or leave the face out",
        ),
        (
            "embedded",
            "data/tiny/face/face.onnx, which is for rendered people only; for photographs take an adapter",
        ),
    ],
)
def test_an_adapter_of_another_recogniser_says_so_with_what_to_do(run, loaded, bundle, tmp_path, trained, told):
    from bolid.core.safe_io import sha256

    new_pipeline(tmp_path, "sd").save_pretrained(tmp_path / "adapter")
    card = json.loads(Path("adapter/adapter.json").read_text())
    trained = sha256(bundle / "face/face.onnx") if trained == "embedded" else trained
    card["conditions"]["face"]["arguments"] |= {"fingerprint": trained, "embed_dim": NUMBERS}
    Path("adapter/adapter.json").write_text(json.dumps(card))
    photo(Path("1.png"))
    status, out, err = run(*CREATE, "1.png", "--adapter", "adapter")
    if told is None:
        assert (status, "face (128 numbers)" in out) == (0, True), err
    else:
        assert (status, told in err.splitlines()[-1]) == (1, True), err
        assert "dlib-face is not the network that the face condition was trained with" in err
        assert run(*CREATE, "1.png", "--adapter", "adapter", "--face", "none")[0] == 0
        assert HOME.load("ann").keys() == {"body"}


def test_a_pose_is_read_off_a_photograph_by_networks_that_know_it(run, monkeypatch, tmp_path):
    names = []
    monkeypatch.setattr("bolid.vision.load.pose_estimator", lambda name: names.append(name) or Finder())
    backbone = StableDiffusion(str(miniature.save_sd(tmp_path / "sd")))
    installed(backbone, {"pose": PoseCondition()}).save_pretrained(tmp_path / "adapter")
    photo(Path("1.png"), (64, 96))
    render(Path("2.png"))
    words = ["generate", "a photo", "--adapter", "adapter", "--count", 1, "--steps", 1, "--size", 48, 32, "--pose"]
    for file, more, wanted in (
        ("1.png", [], "movenet+blazepose"),
        ("2.png", [], "data/tiny/pose"),
        ("1.png", ["--networks", "embedded"], "data/tiny/pose"),
        ("1.png", ["--pose_network", "blazepose"], "blazepose"),
    ):
        names.clear()
        assert run(*words, file, *more)[0] == 0
        assert names == [wanted]
    status, _, err = run(*words, "1.png", "--pose_network", "data/tiny/pose")
    assert "1.png: data/tiny/pose knows rendered people alone; see --networks" in err.splitlines()[-1]
    assert status == 1
