"""Turned squares of a picture: where they lie, what is cut out of them, and what comes back."""

import math

import numpy as np
import pytest
import torch

from bolid.vision.region import apply, cut, matrices, paste, region_between, whole


def ramp(height, width):
    """A picture whose red is x and whose green is y, in thousands of pixels, at the middle of each pixel."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]) / 1000


def test_a_region_stands_on_its_axis():
    centre = torch.tensor([[50.0, 60.0], [50.0, 60.0]])
    upright, lying = region_between(centre, torch.tensor([[50.0, 40.0], [70.0, 60.0]]))
    torch.testing.assert_close(upright, torch.tensor([50.0, 60.0, 50.0, 0.0]))  # 2 · 20 · 1.25
    torch.testing.assert_close(lying, torch.tensor([50.0, 60.0, 50.0, math.pi / 2]))


def test_the_crops_middle_top_and_corners_are_the_regions():
    region = torch.tensor([[50.0, 60.0, 40.0, math.pi / 2]])  # its upright points to the right
    points = torch.tensor([[[64.0, 64.0], [64.0, 0.0], [0.0, 0.0]]])
    found = apply(matrices(region, 128), points)[0]
    torch.testing.assert_close(found, torch.tensor([[50.0, 60.0], [70.0, 60.0], [70.0, 40.0]]))


@pytest.mark.parametrize("region", [(100, 80, 60, 0.0), (100, 80, 60, 0.7), (90, 90, 50, -2.0), (120, 70, 20, 3.0)])
@pytest.mark.parametrize("side", [16, 64])
def test_every_pixel_of_a_crop_is_what_lies_there(region, side):
    matrix = matrices(torch.tensor([region], dtype=torch.float32), side)[0]
    found = cut(ramp(160, 200), matrix, side)
    line = torch.arange(side) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    expected = apply(matrix, torch.stack([x, y], -1).flatten(0, 1)).unflatten(0, (side, side)) / 1000
    torch.testing.assert_close(found[:2].permute(1, 2, 0), expected, atol=3e-4, rtol=0)  # a third of a pixel


def test_outside_of_the_picture_it_is_black():
    picture = torch.ones(3, 40, 40)
    found = cut(picture, matrices(torch.tensor([[40.0, 20.0, 40.0, 0.0]]), 40)[0], 40)
    torch.testing.assert_close(found[:, :, :19], torch.ones(3, 40, 19))
    assert (found[:, :, 21:] == 0).all()
    assert (cut(picture, matrices(torch.tensor([[500.0, 20.0, 40.0, 0.0]]), 40)[0], 40) == 0).all()
    assert (cut(picture, matrices(torch.tensor([[-500.0, -20.0, 40.0, 1.0]]), 40)[0], 40) == 0).all()


def test_the_whole_of_a_square_picture_is_itself():
    picture = torch.rand(3, 32, 32)
    torch.testing.assert_close(cut(picture, matrices(whole(32, 32)[None], 32)[0], 32), picture, atol=1e-5, rtol=0)


def test_large_regions_are_antialiased():
    stripes = (torch.arange(512) % 2).float().expand(3, 512, 512)  # every other pixel
    found = cut(stripes, matrices(whole(512, 512)[None], 32)[0], 32)
    torch.testing.assert_close(found[:, 2:-2, 2:-2], torch.full((3, 28, 28), 0.5), atol=0.05, rtol=0)


def test_gradients_reach_the_picture():
    picture = torch.rand(3, 12, 12, dtype=torch.float64, requires_grad=True)
    matrix = matrices(torch.tensor([[6.0, 5.0, 6.0, 0.4]], dtype=torch.float64), 8)[0]
    assert torch.autograd.gradcheck(lambda p: cut(p, matrix, 8), picture, fast_mode=True)


def test_a_mask_goes_back_to_its_place():
    region = torch.tensor([[70.0, 50.0, 60.0, 0.5]])
    matrix = matrices(region, 64)
    scene = torch.zeros(3, 100, 140)
    scene[:, 45:60, 60:85] = 1
    mask = cut(scene, matrix[0], 64)[0].numpy()
    back = paste(mask, matrix[0].numpy(), 100, 140)
    assert back.dtype == np.uint8
    assert back.shape == (100, 140)
    found, truth = back > 127, scene[0].numpy() > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.95
