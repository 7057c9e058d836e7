"""The filters that ask networks, and how they read them: colours are people here, and made-up values are measures."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from bolid.data.curate import networks
from bolid.data.curate.config import Filters
from bolid.data.curate.filters import KEPT, Body, Identity, People, keeps
from bolid.data.curate.networks import FacesFound
from bolid.data.curate.people import PeopleMeasure, main_first, turned
from bolid.data.curate.run import curate_photos
from bolid.data.curate.store import SHA, Store
from bolid.data.curate.verdicts import read_verdicts
from bolid.vision.people import Person

NONE = dict.fromkeys(
    ["decodable", "size", "copies", "exposure", "blurry", "people", "identity", "watermark", "body", "caption"]
)
ALONE = {"person_scores": [0.9], "person_heights": [0.8], "face_scores": [0.9], "face_heights": [0.2], "height": 0.8}


@pytest.fixture
def no_networks(monkeypatch):
    """Networks have names but no files."""
    monkeypatch.setattr(networks, "fingerprint", lambda role, name: f"{role} {name}")


def verdicts(folder, values, **filters):
    """File name -> what the filters say, of photos whose measures are made up."""
    store = Store(folder, PeopleMeasure("movenet", "blazeface-full", "dlib-face"))
    for name, value in values.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        store.append([ALONE | {"confidences": [0.9] * 17} | value | {SHA: hashlib.sha256(name.encode()).digest()}])
    curate_photos(folder, Filters(**(NONE | {"people": People()} | filters)), min_photos=1)
    return {name: said[1] for name, said in read_verdicts(folder).items()}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, KEPT),
        ({"face_scores": [], "face_heights": []}, KEPT),  # from behind
        ({"person_scores": [], "person_heights": [], "height": 0.2}, KEPT),  # a face alone
        ({"person_scores": [0.9, 0.5], "person_heights": [0.8, 0.4]}, "several people: 2 bodies and 1 faces, not 1"),
        ({"person_scores": [0.9, 0.5], "person_heights": [0.8, 0.3]}, KEPT),  # in the background
        ({"person_scores": [0.9, 0.2], "person_heights": [0.8, 0.8]}, KEPT),  # not sure
        ({"face_scores": [0.9, 0.7], "face_heights": [0.2, 0.1]}, "several people: 1 bodies and 2 faces, not 1"),
        ({"face_scores": [0.9, 0.5], "face_heights": [0.2, 0.2]}, KEPT),
        # Of a face that fills the photo, the body is often found far too small, and more than once.
        ({"person_scores": [0.4, 0.4], "person_heights": [0.1, 0.1], "face_heights": [0.6], "height": 0.6}, KEPT),
        ({"person_scores": [0.25], "face_scores": [0.5]}, KEPT),
        ({"person_scores": [0.25], "face_scores": [0.3]}, "nobody: scores of body and face sum up to 0.55 < 0.6"),
        (
            {"person_scores": [], "person_heights": [], "face_scores": [], "face_heights": [], "height": 0.0},
            "nobody: scores of body and face sum up to 0.00 < 0.6",
        ),
    ],
)
def test_exactly_one_person(tmp_path, no_networks, value, said):
    assert verdicts(tmp_path, {"a/0.jpg": value})["a/0.jpg"]["people"] == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"confidences": [0.9] * 3 + [0.1] * 14}, KEPT),
        ({"confidences": [0.9] * 2 + [0.1] * 15}, "little of the body: 2 < 3 keypoints"),
        ({"confidences": []}, "little of the body: 0 < 3 keypoints"),
        ({"person_heights": [0.09], "height": 0.09}, "small in the photo: 0.09 < 0.1 of its height"),
    ],
)
def test_enough_of_the_body(tmp_path, no_networks, value, said):
    assert verdicts(tmp_path, {"a/0.jpg": value}, body=Body())["a/0.jpg"]["body"] == said


def face(direction, rng, noise=0.0, **more):
    """An embedding near one of many directions at right angles."""
    vector = np.eye(128)[direction] + noise * rng.normal(size=128) / np.sqrt(128)
    return {"face": (1.4 * vector).astype(np.float16).tobytes(), "face_pixels": 200.0} | more


def test_somebody_else_is_outside_the_majority_of_faces(tmp_path):
    rng = np.random.default_rng(0)
    values = {f"ann/{k}.jpg": face(0, rng, 0.3) for k in range(5)}
    values |= {"ann/other.jpg": face(1, rng, 0.3), "ann/unread.jpg": {"face": None}}
    values |= {
        "ann/far.jpg": face(2, rng, face_pixels=40.0),
        "ann/behind.jpg": face(3, rng, face_scores=[0.35]),
        "ann/profile.jpg": face(3, rng, face_turned=0.9),
    }
    values |= {"few/0.jpg": face(4, rng), "few/1.jpg": face(5, rng)}
    values |= {f"mixed/{k}.jpg": face(6 + k, rng) for k in range(4)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "fingerprint", lambda role, name: f"{role} {name}")
        found = verdicts(tmp_path, values, identity=Identity(alike=0.8))
        low = verdicts(tmp_path, values, identity=Identity(alike=-0.5))
        strict = verdicts(tmp_path, values, identity=Identity(alike=0.8, unread=False, unsure=False))
    said = {name: verdict["identity"] for name, verdict in found.items()}
    assert [name for name, verdict in said.items() if not keeps(verdict)] == [
        "ann/other.jpg",
        *(f"mixed/{k}.jpg" for k in range(4)),
    ]
    # The other face is at a right angle to the five, whose noise is 0.3 times their length in all.
    assert said["ann/other.jpg"].startswith(("somebody else: 0.0", "somebody else: -0.0", "somebody else: 0.1"))
    assert said["ann/other.jpg"].endswith("< 0.80")
    assert said["mixed/0.jpg"] == "no majority: 0.25 of the faces are of one person"
    unread = ("unread", "far", "behind", "profile")
    assert {said[f"ann/{name}.jpg"] for name in unread} == {"kept: no face to compare"}
    assert said["few/0.jpg"] == "kept: 2 < 3 faces to compare"
    assert said["ann/0.jpg"] == KEPT
    assert all(keeps(verdict["identity"]) for verdict in low.values())
    assert strict["ann/unread.jpg"]["identity"] == "no face to recognise"
    assert strict["ann/0.jpg"]["identity"] == KEPT


def seen(monkeypatch, people, faces, embeds=lambda rgb, points: points[:3, 0]):
    """A measure whose networks answer so, whatever the photo."""
    answers = {"people": lambda rgb: people, "faces": lambda rgb: faces, "recogniser": embeds}
    monkeypatch.setattr(networks, "load", lambda role, name: name and answers[role])
    return PeopleMeasure("movenet", "blazeface-full", "dlib-face")


def person(x, height, score=0.9, confidence=0.8):
    points = np.full((17, 3), confidence, np.float32)
    points[:, 0], points[:, 1] = x, 50
    return Person(points, np.array([x - 10, 0, x + 10, height], np.float32), score)


def faces_at(*places, size=40, score=0.9):
    keypoints = np.zeros((len(places), 17, 3), np.float32)
    for k, x in enumerate(places):
        keypoints[k, :5] = x, 50, score
    boxes = np.array([[x - size / 2, 50 - size / 2, x + size / 2, 50 + size / 2] for x in places], np.float32)
    return FacesFound(boxes.reshape(-1, 4), np.full(len(places), score, np.float32), keypoints)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (300, 200)).save(path)
    return path


def test_the_tallest_of_the_likely_is_the_main_person(monkeypatch, photo):
    people = [person(30, 60), person(200, 150), person(100, 190, score=0.1)]
    found = seen(monkeypatch, people, faces_at(30, 200)).read(photo)
    assert found["person_heights"] == pytest.approx([0.75, 0.3, 0.95])
    assert (found["height"], found["face_pixels"]) == (0.75, 40)
    assert main_first(np.array([0.2, 0.9]), np.array([0.1, 0.05])).tolist() == [0, 1]  # the likeliest of the unlikely


def test_a_face_is_read_where_a_detector_sees_it(monkeypatch, photo):
    def cut(people, faces):
        data = seen(monkeypatch, people, faces).read(photo)["face"]
        return None if data is None else np.frombuffer(data, np.float16).tolist()

    assert cut([person(205, 150)], faces_at(200)) == [205] * 3  # by the body's keypoints, which are better
    assert cut([person(30, 150)], faces_at(200)) == [200] * 3  # the body is another's
    assert cut([], faces_at(200)) == [200] * 3
    assert cut([person(205, 150)], faces_at()) is None  # from behind, whatever the pose network says of eyes
    boxes_alone = faces_at(200)._replace(keypoints=np.zeros((1, 17, 3), np.float32))
    assert cut([person(205, 150)], boxes_alone) == [205] * 3
    assert cut([], boxes_alone) is None


def test_how_far_a_face_is_turned():
    points = np.zeros((17, 3), np.float32)
    points[:3, :2] = [[30, 20], [40, 10], [20, 10]]
    assert turned(points) == 0
    points[0, :2] = 40, 25  # below an eye
    assert turned(points) == pytest.approx(0.5)
    tilt = np.array([[0.6, -0.8], [0.8, 0.6]])
    points[:3, :2] = points[:3, :2] @ tilt * 3
    assert turned(points) == pytest.approx(0.5)
    assert turned(np.zeros((17, 3), np.float32)) is None


def test_without_a_detector_the_body_says_where_the_face_is(monkeypatch, photo):
    measure = seen(monkeypatch, [person(205, 150)], faces_at())
    measure.networks["faces"] = None
    found = measure.read(photo)
    assert np.frombuffer(found["face"], np.float16).tolist() == [205] * 3
    assert found["face_pixels"] is None


def test_a_face_without_a_body_shows_three_keypoints(monkeypatch, photo):
    found = seen(monkeypatch, [], faces_at(150, size=120, score=0.7)).read(photo)
    np.testing.assert_allclose(found["confidences"], [0.7] * 3 + [0] * 14)
    assert found["height"] == pytest.approx(0.6)
    nobody = seen(monkeypatch, [], faces_at()).read(photo)
    assert (nobody["confidences"], nobody["height"], nobody["face"]) == ([0] * 17, 0, None)


def test_one_person_found_at_two_sizes_is_one(monkeypatch):
    import bolid.vision.load as door
    import bolid.vision.people as finding

    everyone = [person(100, 150), person(102, 140, 0.5), person(220, 150, 0.4)]
    monkeypatch.setattr(door, "pose_estimator", lambda name: name)
    monkeypatch.setattr(finding, "everybody", lambda pictures, estimator: [everyone])
    monkeypatch.setattr(networks, "weights_of", lambda role, name: None)
    found = networks.load("people", "movenet")(np.zeros((200, 300, 3), np.uint8))
    assert [p.score for p in found] == [0.9, 0.4]
