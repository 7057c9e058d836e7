"""L_id on bone ratios, with a landmark network whose answers are known, and with the published one on a photo."""

import pytest
import torch
from torch import nn

from bolid.losses import BoneLoss
from bolid.losses.bones import SPREAD
from bolid.vision.pose_landmarks import PoseLandmarks, PoseReading
from tests import miniature
from tests.vision import blaze


class FakeLandmarks(nn.Module):
    """A body whose legs are longer the brighter the image, of which a nearly black image shows the trunk alone."""

    def __init__(self, score=1.0):
        super().__init__()
        self.score = score

    def forward(self, images):
        n, bright = len(images), images.mean((1, 2, 3))
        world = torch.zeros(n, 33, 3)
        for side, at in ((1, 0), (-1, 1)):
            for joint, y in ((11, -0.5), (13, -0.2), (15, 0.05), (23, 0.0)):
                world[:, joint + at] = torch.tensor([0.15 * side, y, 0.0])
            for joint, share in ((25, 0.5), (27, 1.0)):
                leg = (0.8 * torch.exp(bright) * share)[:, None] * torch.tensor([[0.0, 1.0, 0.0]])
                world[:, joint + at] = leg + torch.tensor([0.15 * side, 0.0, 0.0])
        seen = torch.ones(n, 33)
        seen[:, 13:] = (bright > 0.01).float()[:, None]
        seen[:, 23:25] = 1
        points = torch.cat([world[..., :2], seen[..., None]], -1)
        return PoseReading(points, world, torch.full((n,), self.score), *[torch.zeros(n)] * 3)


class WholeBody(nn.Module):
    """A landmark network's answers as if the photo, a bust, showed the whole body."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        found = self.network(images)
        return found._replace(points=torch.cat([found.points[..., :2], torch.ones_like(found.points[..., :1])], -1))


def batch(count, bright=0.5):
    found = miniature.batch(count=count)
    found.pictures[:] = bright * 2 - 1
    found.keypoints[..., 2] = 1.0
    return found


def grey(*values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, *miniature.SIZE).clone()


def test_the_same_proportions_cost_nothing_and_others_the_more_the_further():
    b = batch(4)
    found = BoneLoss(FakeLandmarks())(grey(0.5, 0.6, 0.7, 0.3), b, b.groups)
    assert found[0] == pytest.approx(0, abs=1e-8)
    assert 0 < found[1] < found[2]
    torch.testing.assert_close(found[3], found[2])  # longer and shorter alike


def test_the_loss_is_smooth_l1_in_spreads_of_the_log_ratios():
    b = batch(1)
    found = BoneLoss(FakeLandmarks())(grey(0.55), b, b.groups)
    away = torch.tensor([0.0, 0, 0, 0, 0, 0.05, 0.05]) - 2 * 0.05 / 7  # of seven bones two are longer
    expected = nn.functional.smooth_l1_loss(away / SPREAD, torch.zeros(7))
    torch.testing.assert_close(found, expected[None], atol=1e-4, rtol=1e-4)


def test_bones_that_the_image_does_not_show_do_not_count():
    b = batch(1)
    assert BoneLoss(FakeLandmarks())(grey(0.0), b, b.groups)[0] == pytest.approx(0, abs=1e-8)


def test_an_image_without_a_person_counts_for_less():
    b = batch(1)
    sure, unsure = (BoneLoss(FakeLandmarks(score))(grey(0.7), b, b.groups) for score in (1.0, 0.25))
    torch.testing.assert_close(unsure, sure * 0.25)


def test_the_gradient_shortens_legs_that_are_too_long():
    b, images = batch(2), grey(0.7, 0.3).requires_grad_()
    BoneLoss(FakeLandmarks())(images, b, b.groups).sum().backward()
    assert (images.grad[0] > 0).all()
    assert (images.grad[1] < 0).all()


def test_photos_that_show_too_little_of_a_body_cannot_be_scored():
    b = batch(3)
    b.keypoints[1, 7:, 2] = 0  # a bust: shoulders alone
    b.keypoints[2, 13:, 2] = 0  # no legs: shoulders, hips, trunk, arms
    assert BoneLoss(FakeLandmarks()).can_score(b).tolist() == [True, False, True]


@blaze.fetched("blazepose")
def test_the_published_networks_gradient_is_how_the_loss_changes():
    data = pytest.importorskip("skimage.data")
    photo = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None, :, ::2, ::2] / 255
    network = PoseLandmarks()
    region = network.likeliest(photo)
    network.likeliest = lambda pictures: region.expand(len(pictures), 4)  # the same crop before and after
    b = miniature.batch(count=1)
    b.pictures = nn.functional.interpolate(photo, (256, 352))[..., 48:304] * 2 - 1  # somebody broader
    loss, images = BoneLoss(WholeBody(network)), photo.clone().requires_grad_()
    before = loss(images, b, b.groups)
    assert before > 0
    (gradient,) = torch.autograd.grad(before.sum(), images)
    step = 2e-6 * gradient.sign()  # further off the published network is far from linear
    with torch.no_grad():
        change = loss(photo + step, b, b.groups) - loss(photo - step, b, b.groups)
    torch.testing.assert_close(change[0], 2 * (step * gradient).sum(), rtol=0.1, atol=0)
