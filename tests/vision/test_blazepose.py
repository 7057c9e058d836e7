"""BlazePose on pictures: several people, each once, as an estimator and as a source of silhouettes."""

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.vision.blazepose import BlazePose
from bolid.vision.pose_landmarks import COCO
from bolid.vision.ssd import Detections
from tests.vision import blaze


@pytest.fixture
def blazepose(tmp_path, monkeypatch):
    """Finds people where a test says, with random landmarks."""
    network = BlazePose(**blaze.pose_files(tmp_path), min_presence=0.0)

    def seen(*people):
        points = torch.tensor([[[x, y], [x, y - reach]] for x, y, reach in people]).reshape(-1, 2, 2)
        found = Detections(torch.zeros(len(people), 4), points, torch.linspace(0.9, 0.6, len(people)))
        monkeypatch.setattr(network.landmarks, "detect", lambda pictures: [found] * len(pictures))
        return network

    return seen


def photo(height=120, width=200):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_everybody_is_read_in_pixels_of_the_photo(blazepose):
    found = blazepose((40.0, 60.0, 30.0), (150.0, 60.0, 40.0)).read(photo())
    assert len(found) == 2
    assert found[0].height >= found[1].height
    for person in found:
        assert person.points.shape == person.world.shape == (33, 3)
        assert person.silhouette.shape == (120, 200)
        assert person.silhouette.dtype == np.uint8
        assert 0 <= person.score <= 1
        np.testing.assert_array_equal(person.keypoints, person.points[list(COCO)])


def test_one_person_found_twice_is_one(blazepose):
    assert len(blazepose((60.0, 60.0, 30.0), (60.0, 60.0, 30.0)).read(photo())) == 1


def test_of_whom_the_network_is_not_sure_does_not_count(blazepose):
    network = blazepose((60.0, 60.0, 30.0))
    network.min_presence = 1.1
    assert network.read(photo()) == []


def test_nobody_is_an_answer(blazepose):
    network = blazepose()
    assert network.read(photo()) == []
    assert not network.silhouette(Image.fromarray(photo())).any()
    pose = network.estimate(torch.rand(2, 3, 50, 40), count_others=True)
    assert [tuple(part.shape) for part in pose] == [(2, 17, 3), (2, 4), (2,), (2,)]
    assert not any(part.any() for part in pose)


def test_estimates_are_as_a_pose_estimators(blazepose):
    network = blazepose((20.0, 25.0, 20.0))
    network.min_confidence = 0.0
    pose = network.estimate(torch.rand(2, 3, 50, 40))
    assert pose.others is None
    assert pose.keypoints.shape == (2, 17, 3)
    places = pose.keypoints[..., :2][pose.keypoints[..., 2] > 0]
    assert ((places >= 0) & (places < torch.tensor([40, 50]))).all()
    assert (pose.box[:, 2:] >= pose.box[:, :2]).all()


def test_people_found_by_another_network_keep_their_order(blazepose):
    network = blazepose()  # its own detector finds nobody
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[0, :, :2], keypoints[1, :, :2] = (
        np.linspace([100, 20], [110, 100], 17),
        np.linspace([30, 20], [40, 60], 17),
    )
    keypoints[..., 2] = 1
    both = network.read(photo(), keypoints)
    assert len(both) == 2
    one = network.read(photo(), keypoints[1:])[0]
    np.testing.assert_allclose(one.points, both[1].points, atol=1e-3)
    np.testing.assert_array_equal(network.silhouette(Image.fromarray(photo()), keypoints[1]), one.silhouette)
    assert network.read(photo(), np.zeros((0, 17, 3), np.float32)) == []


@blaze.fetched("blazepose")
def test_the_published_networks_find_the_person_in_a_photo():
    data = pytest.importorskip("skimage.data")
    found = BlazePose().read(data.astronaut())
    assert len(found) == 1
    nose, left, right = found[0].keypoints[:3, :2]
    assert abs(nose - [217, 122]).max() < 12  # by eye
    assert abs(left - [243, 110]).max() < 12
    assert abs(right - [203, 102]).max() < 12
    silhouette = found[0].silhouette > 127
    assert silhouette[150, 225]  # the neck's front
    assert silhouette[400, 200]  # the suit
    assert not silhouette[30, 330]  # the wall
    assert not silhouette[60, 420]  # the rocket


@blaze.fetched("blazepose")
@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket", "moon", "brick", "text"])
def test_the_published_networks_find_nobody_where_nobody_is(name):
    data = pytest.importorskip("skimage.data")
    picture = getattr(data, name)()
    assert BlazePose().read(np.broadcast_to(picture.reshape(*picture.shape[:2], -1), (*picture.shape[:2], 3))) == []
