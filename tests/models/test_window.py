"""Windows along a trunk, on figures of known shape."""

from dataclasses import replace

import pytest
import torch

from bolid.models.body_vae import NEAR
from bolid.models.window import HIPS, SHOULDERS, TRUNK, cut, has_trunk, keypoints_in, trunk_coordinates

SHARP = replace(TRUNK, size=(48, 40))


def standing(height=20.0, middle=(32.0, 60.0)):
    """(1, 17, 3): hips at the middle, shoulders above, in pixels; the rest is not seen."""
    points = torch.zeros(1, 17, 3)
    x, y = middle
    for side, ends in enumerate(zip(SHOULDERS, HIPS, strict=True)):
        for joint, up in zip(ends, (height, 0.0), strict=True):
            points[0, joint] = torch.tensor([x + (4, -4)[side], y - up, 1.0])
    return points


def turned(points, width=64):
    """A quarter turn to the left."""
    return torch.stack([points[..., 1], width - points[..., 0], points[..., 2]], -1) * (points[..., 2:] > 0)


@pytest.mark.parametrize("window", [TRUNK, SHARP])
def test_what_is_wide_for_its_trunk_is_wide_in_the_window_at_any_distance(window):
    for height in (12.0, 20.0):
        x = (torch.arange(64) + 0.5 - 32).abs() <= 0.4 * height  # a column of .8 trunks
        near = cut(x.float().expand(1, 1, 96, 64), standing(height), window)
        assert near.shape == (1, 1, *window.size)
        share = 0.8 / (window.across[1] - window.across[0])
        torch.testing.assert_close(near.mean((0, 1, 3)), torch.full((window.size[0],), share), atol=0.06, rtol=0)


def test_a_figure_that_lies_down_looks_like_one_that_stands():
    picture = torch.zeros(1, 1, 96, 64)
    picture[..., 40:60, 28:36] = 1
    upright = cut(picture, standing())
    lying = cut(picture.mT.flip(2), turned(standing()))
    torch.testing.assert_close(lying, upright, atol=1e-4, rtol=0)


def test_without_hips_there_is_no_trunk():
    points = standing().repeat(2, 1, 1)
    points[1, HIPS[0], 2] = 0
    assert has_trunk(points).tolist() == [True, False]


@pytest.mark.parametrize("window", [SHARP, *NEAR])
def test_keypoints_lie_in_the_window_where_the_picture_shows_them(window):
    points = standing()
    points[0, 0] = torch.tensor([34.0, 38.0, 1.0])  # a chin, 1.1 trunks above the hips
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    for keypoints in (points, turned(points)):
        spot = torch.exp(-((x - keypoints[0, 0, 0]) ** 2 + (y - keypoints[0, 0, 1]) ** 2) / 2)
        near = cut(spot[None, None], keypoints, window)[0, 0]
        rows, columns = torch.meshgrid(*(torch.arange(n) + 0.5 for n in window.size), indexing="ij")
        centre = torch.stack([(near * columns).sum(), (near * rows).sum()]) / near.sum()
        found = keypoints_in(keypoints, 96, window)[0, 0]
        torch.testing.assert_close(found[:2], centre, atol=0.2, rtol=0)
        assert found[2] == 1


def test_coordinates_are_lengths_of_the_trunk_wherever_and_however_the_figure_stands():
    near, far = standing(20.0, (32, 60)), standing(10.0, (20, 40))
    far[..., 0] = torch.where(far[..., 2] > 0, 20 + (far[..., 0] - 20) / 2, 0.0)
    places = trunk_coordinates(near, 96)[0]
    torch.testing.assert_close(places, trunk_coordinates(far, 96)[0])
    torch.testing.assert_close(places, trunk_coordinates(turned(near), 96)[0])
    torch.testing.assert_close(places[SHOULDERS], torch.tensor([[0.2, 1.0], [-0.2, 1.0]]))
    assert not places[0].any()
