"""Which networks look at which photos."""

import pytest
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.photos import marked
from bolid.core.safe_io import sha256
from bolid.vision.choice import EMBEDDED, PHOTOGRAPHS, choose_for, recogniser_of, refusal


@pytest.fixture
def photos(tmp_path):
    for name in ("photo.png", "render.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    rendered = tmp_path / "render.png"
    rendered.write_bytes(marked(rendered.read_bytes(), "rendered v2"))
    return tmp_path


def names(choice):
    return {name: getattr(choice, name) for name in EMBEDDED}


def test_the_mark_of_the_photos_decides(photos):
    rendered, photo = photos / "render.png", photos / "photo.png"
    assert names(choose_for([rendered])) == EMBEDDED
    for some in ([photo], [rendered, photo], [], [photos / "missing.png"]):
        assert names(choose_for(some)) == PHOTOGRAPHS
    assert names(choose_for([rendered], "photographs")) == PHOTOGRAPHS
    assert names(choose_for([photo], "embedded")) == EMBEDDED
    assert choose_for([photo], encoder="my/encoder").encoder == "my/encoder"


def test_embedded_networks_are_for_rendered_photos_unless_they_are_asked_for(photos):
    photo = [photos / "photo.png"]
    assert choose_for(photo).refused == []
    assert choose_for(photo, "embedded").refused == []
    assert choose_for([photos / "render.png"]).refused == [EMBEDDED["pose"], EMBEDDED["face"]]
    given = choose_for(photo, face=EMBEDDED["face"])
    assert (given.pose, given.refused) == (PHOTOGRAPHS["pose"], [EMBEDDED["face"]])
    assert refusal("a.png", given.refused) == (
        "a.png: data/tiny/face/face.onnx knows rendered people alone; see --networks"
    )
    assert " and data/tiny/face/face.onnx know rendered" in refusal(
        "a.png", choose_for([photos / "render.png"]).refused
    )


def test_a_given_network_stands_in_place_of_the_default_and_none_for_none(photos):
    choice = choose_for([], pose="my/pose", face="none")
    assert (choice.pose, choice.face) == ("my/pose", None)
    with pytest.raises(BolidError, match="a pose network is required"):
        choose_for([], pose="none")


def test_a_recogniser_is_known_by_its_fingerprint(bundle, monkeypatch):
    monkeypatch.setenv("BOLID_TINY", str(bundle))
    monkeypatch.setenv("BOLID_CACHE", str(bundle / "nothing was fetched"))
    assert recogniser_of(sha256(bundle / "face/face.onnx")) == EMBEDDED["face"]
    assert recogniser_of("0" * 64) is None
