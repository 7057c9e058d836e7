import numpy as np
import pytest
import torch
from PIL import Image

from bolid.models.crop import crop_to_person, crop_window


def dotted(x: int, y: int, size=(96, 64)):
    """A dark picture with one bright pixel, and a keypoint on its middle."""
    picture = torch.full((1, 3, *size), -1.0)
    picture[..., y, x] = 1.0
    keypoints = torch.zeros(1, 17, 3)
    keypoints[0, 5] = torch.tensor([x + 0.5, y + 0.5, 0.7])
    return picture, keypoints


@pytest.mark.parametrize(("x", "y"), [(30, 40), (22, 31), (40, 60)])
def test_keypoints_follow_the_picture(x, y):
    picture, keypoints = dotted(x, y)
    crop, moved = crop_to_person(picture, keypoints, torch.tensor([[20.0, 30.0, 45.0, 70.0]]), (96, 64))
    weight = crop[0, 0] + 1
    rows, columns = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    # Half a pixel of slack: outside the dark picture the crop is grey, which pulls the centre of mass.
    inside = weight > weight.max() / 2
    centre = torch.stack([columns[inside].mean(), rows[inside].mean()])
    assert (moved[0, 5, :2] - centre).abs().max() <= 0.5
    assert moved[0, 5, 2] == pytest.approx(0.7)
    assert moved[0, 6].abs().sum() == 0


def test_window_keeps_the_aspect_and_the_margin():
    x0, y0, x1, y1 = crop_window(torch.tensor([20.0, 30.0, 30.0, 70.0]), (96, 64), (96, 64))
    assert (y0, y1) == (26, 74)  # a tenth of 40 above and below
    assert (x1 - x0) == 32  # 2 : 3
    assert (x0 + x1) / 2 == 25
    x0, y0, x1, y1 = crop_window(torch.tensor([0.0, 40.0, 60.0, 60.0]), (96, 64), (96, 64))
    assert (x0, x1) == (-2, 62)  # a wide box decides the height
    assert (y1 - y0) == 96


def test_what_lies_outside_the_picture_is_grey():
    picture = torch.ones(1, 3, 96, 64)
    crop, _ = crop_to_person(picture, torch.zeros(1, 17, 3), torch.tensor([[0.0, 0.0, 10.0, 96.0]]), (96, 64))
    assert (crop[..., 0] == 0).all()
    assert (crop[..., 0, :] == 0).all()
    assert crop[0, 0, 48, 32] == 1
    far, _ = crop_to_person(picture, torch.zeros(1, 17, 3), torch.tensor([[200.0, 0.0, 210.0, 20.0]]), (96, 64))
    assert (far == 0).all()


def test_without_a_person_the_whole_picture_stays():
    picture = torch.rand(1, 3, 96, 64)
    crop, _ = crop_to_person(picture, torch.zeros(1, 17, 3), torch.zeros(1, 4), (96, 64))
    torch.testing.assert_close(crop, picture)


def test_shrinks_like_pillow():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (528, 352, 3), dtype=np.uint8))
    box = torch.tensor([[100.0, 60.0, 220.0, 420.0]])
    window = crop_window(box[0], (528, 352), (96, 64))
    expected = np.asarray(photo.crop(window).resize((64, 96), Image.Resampling.BILINEAR), dtype=np.float32)
    picture = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    crop, _ = crop_to_person(picture, torch.zeros(1, 17, 3), box, (96, 64))
    ours = ((crop[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    assert np.abs(ours - expected).max() < 1.5


def test_is_differentiable_in_the_picture():
    picture = torch.rand(2, 3, 24, 16, dtype=torch.float64, requires_grad=True)
    box = torch.tensor([[2.0, 3.0, 9.0, 20.0], [-3.0, 1.0, 20.0, 30.0]], dtype=torch.float64)
    keypoints = torch.rand(2, 17, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: crop_to_person(p, keypoints, box, (12, 8))[0], picture)
