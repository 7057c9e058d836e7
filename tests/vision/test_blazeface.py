"""BlazeFace: shapes, COCO's points, and its answers on a photo against BlazePose's."""

import numpy as np
import pytest

from bolid.core.errors import BolidError
from bolid.vision.blazeface import BlazeFace, Faces
from bolid.vision.blazepose import BlazePose
from tests.vision import blaze

ANCHORS = {"short": (128, 896), "full": (192, 2304)}


@pytest.mark.parametrize("reach", ANCHORS)
def test_faces_are_in_pixels_of_the_photo(reach, tmp_path):
    path = blaze.saved(tmp_path / "face.safetensors", detector=blaze.detector(*ANCHORS[reach], 16))
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    found = BlazeFace(reach, min_score=0.0, weights=path).detect(photo)
    n = len(found.scores)
    assert n > 0
    assert (found.boxes.shape, found.points.shape, found.keypoints.shape) == ((n, 4), (n, 6, 2), (n, 17, 3))
    nobody = BlazeFace(reach, min_score=1.1, weights=path).detect(photo)
    assert (nobody.boxes.shape, nobody.points.shape, nobody.keypoints.shape) == ((0, 4), (0, 6, 2), (0, 17, 3))


def test_the_points_that_coco_has_too_keep_their_sides():
    points = np.array([[[30, 50], [70, 51], [50, 70], [50, 85], [15, 55], [85, 56]]], np.float32)
    found = Faces(np.zeros((1, 4), np.float32), points, np.array([0.9], np.float32)).keypoints[0]
    expected = [[50, 70], [70, 51], [30, 50], [85, 56], [15, 55]]  # nose, left and right eye, left and right ear
    np.testing.assert_array_equal(found[:5, :2], expected)
    assert (found[:5, 2] == np.float32(0.9)).all()
    assert not found[5:].any()


def test_networks_that_are_not_there_say_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path))
    with pytest.raises(BolidError, match="bolid networks get blazeface-full"):
        BlazeFace("full")


@pytest.mark.parametrize(
    "reach", [pytest.param(r, marks=blaze.fetched(f"blazeface-{r}", "blazepose")) for r in ANCHORS]
)
def test_the_published_networks_see_the_face_that_blazepose_sees(reach):
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()
    found, pose = BlazeFace(reach).detect(photo), BlazePose().read(photo)[0].keypoints
    assert len(found.scores) == 1
    eyes = np.linalg.norm(pose[1, :2] - pose[2, :2])
    assert np.linalg.norm(found.keypoints[0, :3, :2] - pose[:3, :2], axis=1).max() < eyes / 4
    x0, y0, x1, y1 = found.boxes[0]
    assert ((pose[:3, :2] > [x0, y0]) & (pose[:3, :2] < [x1, y1])).all()
    assert len(BlazeFace(reach).detect(data.chelsea()).scores) == 0  # a cat
