"""BlazePose's landmarks: how heat maps refine them, how crops come back, and that gradients reach the picture."""

import math

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.core.keypoints import COCO_NAMES
from bolid.vision.pose_landmarks import COCO, PoseLandmarks, around, refine
from tests.vision import blaze

# As MediaPipe documents them.
NAMES = "nose leye_inner leye leye_outer reye_inner reye reye_outer lear rear lmouth rmouth lshoulder rshoulder lelbow"
NAMES += " relbow lwrist rwrist lpinky rpinky lindex rindex lthumb rthumb lhip rhip lknee rknee lankle rankle"


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory):
    return PoseLandmarks(**blaze.pose_files(tmp_path_factory.mktemp("pose")))


def astronaut():
    data = pytest.importorskip("skimage.data")
    return torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None]


def test_the_map_to_coco_names_the_same_points():
    expected = [name.replace("left_", "l").replace("right_", "r") for name in COCO_NAMES]
    assert [NAMES.split()[k] for k in COCO] == expected


def test_a_landmark_goes_to_the_middle_of_what_its_heat_map_shows():
    heat = torch.full((1, 4, 64, 64), -20.0)
    heat[0, 0, 11, 10] = heat[0, 0, 11, 12] = 20.0  # on both sides of column 11
    heat[0, 1, 30, 40] = 20.0  # too far away
    heat[0, 2, 10, 10] = -1.0  # too faint
    heat[0, 3, 0, 0] = 20.0
    points = torch.tensor([[[42.0, 40.0], [42.0, 40.0], [42.0, 40.0], [-9.0, 500.0]]])
    found = refine(points, heat, 256)[0]
    torch.testing.assert_close(found[0], torch.tensor([44.0, 44.0]))
    torch.testing.assert_close(found[1:], points[0, 1:])


def test_refining_is_differentiable_in_the_heat_map():
    heat = torch.randn(1, 2, 16, 16, dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[[20.0, 30.0], [40.0, 11.0]]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda h: refine(points, h, 64), heat, fast_mode=True)


def test_readings_have_the_stated_shapes_and_ranges(landmarks):
    found = landmarks(torch.rand(2, 3, 90, 60))
    assert [tuple(part.shape) for part in found] == [(2, 33, 3), (2, 33, 3), (2,), (2, 256, 256), (2, 2, 3), (2, 4)]
    for part in (found.score, found.masks, found.points[..., 2]):
        assert ((part >= 0) & (part <= 1)).all()


def test_gradients_reach_the_picture_and_no_weight(landmarks):
    pictures = torch.rand(1, 3, 64, 64, requires_grad=True)
    landmarks(pictures).world.square().sum().backward()
    assert pictures.grad is not None
    assert pictures.grad.abs().sum() > 0
    assert not list(landmarks.parameters())  # frozen networks are no part of who holds them


def test_a_turned_picture_has_turned_landmarks(landmarks):
    picture = torch.rand(1, 3, 80, 80)
    region = torch.tensor([[30.0, 50.0, 40.0, 0.3]])
    turned = torch.rot90(picture, 1, (2, 3))  # counter-clockwise: (x, y) -> (y, 80 − x)
    moved = torch.tensor([[50.0, 50.0, 40.0, 0.3 - math.pi / 2]])
    a, b = landmarks(picture, region), landmarks(turned, moved)
    expected = torch.stack([a.points[..., 1], 80 - a.points[..., 0]], -1)
    torch.testing.assert_close(b.points[..., :2], expected, atol=0.05, rtol=0)
    turned_world = torch.stack([a.world[..., 1], -a.world[..., 0], a.world[..., 2]], -1)
    torch.testing.assert_close(b.world, turned_world, atol=1e-3, rtol=1e-3)


def test_bytes_and_fractions_are_the_same_picture(landmarks):
    picture = torch.randint(0, 256, (1, 3, 70, 50), dtype=torch.uint8)
    region = torch.tensor([[25.0, 35.0, 60.0, 0.0]])
    for a, b in zip(landmarks(picture, region), landmarks(picture / 255, region), strict=True):
        torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def standing(**missing):
    """COCO keypoints of somebody 100 pixels tall who stands upright."""
    places = [(0, 6), (2, 4), (-2, 4), (4, 5), (-4, 5), (12, 20), (-12, 20), (15, 35), (-15, 35), (15, 48), (-15, 48)]
    places += [(8, 52), (-8, 52), (8, 75), (-8, 75), (8, 96), (-8, 96)]
    keypoints = torch.tensor([[x + 50.0, y, 1.0] for x, y in places])
    for name in missing:
        keypoints[[name in full for full in COCO_NAMES]] = 0
    return keypoints


def test_the_region_of_a_person_found_by_another_network_holds_everybody_upright():
    x, y, side, angle = around(standing()).tolist()
    assert (x, y) == (50.0, 52.0)  # the middle of the hips
    assert angle == pytest.approx(0, abs=1e-6)
    assert side / 2 > 48  # head and feet are in it


def test_the_region_of_a_bust_reaches_below_the_photo():
    bust = standing(hip=1, knee=1, ankle=1, wrist=1, elbow=1)
    x, y, _, angle = around(bust).tolist()
    assert x == pytest.approx(50)
    assert 45 < y < 60
    assert angle == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("point", range(17))
def test_any_single_keypoint_makes_a_region(point):
    keypoints = torch.zeros(17, 3)
    keypoints[point] = torch.tensor([5.0, 6.0, 0.9])
    assert around(keypoints).isfinite().all()


def test_networks_that_are_not_there_say_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path))
    with pytest.raises(BolidError, match="bolid networks get blazepose"):
        PoseLandmarks()


@blaze.fetched("blazepose")
def test_the_published_network_turns_with_the_photo():
    network, photo = PoseLandmarks(), astronaut()
    with torch.no_grad():
        a, b = network(photo), network(torch.rot90(photo, 1, (2, 3)))
    expected = torch.stack([a.points[..., 1], 512 - a.points[..., 0]], -1)
    away = (b.points[0, :11, :2] - expected[0, :11]).norm(dim=1)  # the head
    assert away.max() < 512 * 0.05
    assert min(a.score, b.score) > 0.9


@blaze.fetched("blazepose")
def test_a_step_along_the_published_networks_gradient_moves_the_landmarks():
    network = PoseLandmarks()
    photo = (astronaut() / 255).requires_grad_()
    region = network.likeliest(photo.detach())
    nose = network(photo, region).points[0, 0, 0]
    (gradient,) = torch.autograd.grad(nose, photo)
    with torch.no_grad():
        moved = network(photo + 0.01 * gradient.sign(), region).points[0, 0, 0]
    assert moved > nose + 0.5  # pixels
