"""Views made worse: what moves together must stay together, and what is hidden must not be seen."""

import pytest
import torch

from bolid.models.augment import ViewAugment

OFF = dict.fromkeys(("colour", "move", "zoom", "blurred", "occlusion", "lost", "jitter", "doubt"), 0.0)
SIZE = (96, 64)


def views(count=8):
    """A white spot on black, and all keypoints in its middle."""
    pictures = -torch.ones(count, 3, *SIZE)
    pictures[:, :, 36:45, 18:27] = 1.0
    keypoints = torch.tensor([22.5, 40.5, 0.9]).repeat(count, 17, 1)
    return pictures, keypoints


def run(seed=0, count=8, **changes):
    pictures, keypoints = views(count)
    generator = torch.Generator().manual_seed(seed)
    return ViewAugment(**OFF | changes)(pictures, keypoints, generator)


def test_nothing_asked_nothing_changed():
    for ours, theirs in zip(run(), views(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_keypoints_move_with_the_picture():
    pictures, keypoints = run(move=0.1, zoom=0.2)
    mass = (pictures[:, 0].clamp_min(-1) + 1) * (pictures[:, 0] > 0)
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    middle = torch.stack([(mass * axis).sum((1, 2)) / mass.sum((1, 2)) for axis in (x, y)], 1)
    torch.testing.assert_close(keypoints[:, 0, :2], middle, atol=0.3, rtol=0)
    assert keypoints[:, 0, 0].std() > 1  # each its own


def test_colours_change_and_keypoints_do_not():
    pictures, keypoints = run(colour=0.3)
    assert torch.equal(keypoints, views()[1])
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert (pictures - views()[0]).abs().amax((1, 2, 3)).min() > 0.01
    assert (pictures[:, 0] - pictures[:, 1]).abs().max() > 0.05  # each channel its own


def test_a_blur_is_a_gaussian_of_the_size_asked_for_and_spares_who_is_not_drawn():
    pictures, keypoints = run(count=200, blur=0.1, blurred=0.6)
    assert torch.equal(keypoints, views(200)[1])
    column = (pictures[:, 0, :, 22] - views()[0][0, 0, 0, 0]).double()
    column = column / column.sum(1, keepdim=True)
    y = torch.arange(SIZE[0]).double()
    variance = column @ y**2 - (column @ y) ** 2 - 80 / 12  # of nine pixels: (81 - 1) / 12
    sigma = variance.clamp_min(0).sqrt() / SIZE[0]
    assert (sigma > 0.001).float().mean() == pytest.approx(0.6, abs=0.1)
    assert sigma.max() == pytest.approx(0.1, rel=0.1)


def test_what_something_stands_before_has_no_keypoint():
    pictures, keypoints = run(count=200, occlusion=0.5, hidden=0.9)
    hidden = pictures[:, 0, 40, 22] == 0
    assert 20 < hidden.sum() < 100
    assert (keypoints[hidden] == 0).all()
    assert (keypoints[~hidden][..., 2] > 0).all()
    changed = ((pictures - views(200)[0]).abs() > 0.01).flatten(1).any(1).float().mean()
    assert changed == pytest.approx(0.5, abs=0.1)


def test_keypoints_are_lost_moved_and_doubted():
    lost = run(count=500, lost=0.3)[1]
    assert (lost[..., 2] == 0).float().mean() == pytest.approx(0.3, abs=0.02)
    assert (lost[lost[..., 2] == 0] == 0).all()
    moved = run(count=500, jitter=0.02)[1]
    assert moved[..., :2].flatten(0, 1).std(0).tolist() == pytest.approx([0.02 * 96] * 2, rel=0.05)
    doubted = run(count=500, doubt=0.5)[1][..., 2]
    assert 0.45 <= doubted.min() < 0.46
    assert doubted.max() <= 0.9


def test_unseen_stays_unseen_and_outside_is_unseen():
    pictures, keypoints = views(4)
    keypoints[:, 3] = 0
    found = ViewAugment(**OFF | {"move": 0.1, "jitter": 0.1})(pictures, keypoints, torch.Generator().manual_seed(0))[1]
    assert (found[:, 3] == 0).all()
    keypoints[:, 4, 0] = 63.9
    far = [
        ViewAugment(**OFF | {"move": 0.5})(pictures, keypoints, torch.Generator().manual_seed(s))[1] for s in range(20)
    ]
    places = torch.cat(far)[:, 4]
    assert (places[:, 0] < 64).all()
    assert (places[:, 2] == 0).any()


def test_the_same_seed_gives_the_same_views():
    everything = {"colour": 0.2, "move": 0.1, "zoom": 0.1, "occlusion": 0.5, "lost": 0.2, "jitter": 0.02, "doubt": 0.2}
    for ours, theirs in zip(run(3, **everything), run(3, **everything), strict=True):
        assert torch.equal(ours, theirs)
