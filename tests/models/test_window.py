"""The window along a trunk, on figures of known shape."""

import pytest
import torch

from bolid.models.window import ACROSS, HIPS, SHOULDERS, along_trunk, trunk_coordinates

SIZE = torch.Size([96, 64])


def standing(height=20.0, middle=(32.0, 60.0)):
    """(1, 17, 3): hips at the middle, shoulders above, in pixels; the rest is not seen."""
    points = torch.zeros(1, 17, 3)
    x, y = middle
    for side, ends in enumerate(zip(SHOULDERS, HIPS, strict=True)):
        for joint, up in zip(ends, (height, 0.0), strict=True):
            points[0, joint] = torch.tensor([x + (4, -4)[side], y - up, 1.0])
    return points


@pytest.mark.parametrize("window", [(24, 20), (48, 40)])
def test_what_is_wide_for_its_trunk_is_wide_in_the_window_at_any_distance(window):
    for height in (12.0, 20.0):
        x = (torch.arange(64) + 0.5 - 32).abs() <= 0.4 * height  # a column of .8 trunks
        near, there = along_trunk(x.float().expand(1, 1, 96, 64), standing(height), window)
        assert there.all()
        assert near.shape == (1, 1, *window)
        share = 0.8 / (ACROSS[1] - ACROSS[0])
        torch.testing.assert_close(near.mean((0, 1, 3)), torch.full((window[0],), share), atol=0.06, rtol=0)


def test_a_figure_that_lies_down_looks_like_one_that_stands():
    picture = torch.zeros(1, 1, 96, 64)
    picture[..., 40:60, 28:36] = 1
    upright, _ = along_trunk(picture, standing())
    turned = standing()
    turned[..., 0], turned[..., 1] = standing()[..., 1], 64 - standing()[..., 0]  # a quarter turn to the left
    lying, _ = along_trunk(picture.mT.flip(2), turned)
    torch.testing.assert_close(lying, upright, atol=1e-4, rtol=0)


def test_without_hips_there_is_no_trunk():
    points = standing()
    points[0, HIPS[0], 2] = 0
    assert not along_trunk(torch.ones(1, 1, 96, 64), points)[1].any()


def test_coordinates_are_lengths_of_the_trunk_wherever_the_figure_stands():
    near, far = standing(20.0, (32, 60)), standing(10.0, (20, 40))
    far[..., 0] = torch.where(far[..., 2] > 0, 20 + (far[..., 0] - 20) / 2, 0.0)
    places = trunk_coordinates(near, SIZE).view(17, 2)
    torch.testing.assert_close(places, trunk_coordinates(far, SIZE).view(17, 2))
    torch.testing.assert_close(places[SHOULDERS], torch.tensor([[0.2, -1.0], [-0.2, -1.0]]))
    assert not places[0].any()
