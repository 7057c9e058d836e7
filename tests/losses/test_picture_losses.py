"""Losses on pictures, by hand, with a pose network and a CLIP whose answers are known."""

import pytest
import torch
from torch import nn

from bolid.core.errors import BolidError
from bolid.losses.picture import ClipLoss, KeypointLoss, PixelLoss, PromptLoss, ReferenceStyleLoss, ShapeLoss
from bolid.synthetic.wording import ATTRIBUTES
from bolid.vision.pose import Pose
from tests import miniature


class FakePose(nn.Module):
    """Sees every keypoint as far right of its place as the picture's mean is bright, in pixels."""

    def __init__(self, truth):
        super().__init__()
        self.truth = truth

    def forward(self, pictures):
        away = torch.zeros(len(pictures), 17, 3)
        away[..., 0] = 1.0
        return Pose(self.truth + away * pictures.mean((1, 2, 3))[:, None, None], None, None)


class FakeClip(nn.Module):
    """A picture's embedding is its mean colour, a text's is red."""

    def encode_images(self, pictures):
        return nn.functional.normalize(pictures.mean((2, 3)), dim=1)

    def encode_texts(self, texts):
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(texts), -1)


class FakeAnthropometer(nn.Module):
    """Reads every ratio as ten times the picture's mean brightness."""

    def forward(self, pictures):
        return 10 * pictures.mean((1, 2, 3))[:, None].expand(-1, 7)

    read = forward


class FakeReader(nn.Module):
    """Thinks every first class the likelier the redder a picture is, by the same odds for all attributes."""

    def forward(self, pictures):
        red = pictures[:, 0].mean((1, 2))
        return {k: torch.cat([red[:, None], red.new_zeros(len(red), len(v) - 1)], 1) for k, v in ATTRIBUTES.items()}


def batch(count=3):
    found = miniature.batch(count=count)
    found.keypoints[..., 2] = 1.0
    found.keypoints[..., 1] = torch.linspace(4, 44, 17)  # the person is 40 pixels tall
    return found


def coloured(*colours):
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, *miniature.SIZE).clone()


def test_keypoints_are_compared_in_heights_of_the_person():
    b = batch(2)
    loss = KeypointLoss(FakePose(b.keypoints))
    pictures = coloured([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    torch.testing.assert_close(loss(pictures, b), torch.tensor([0.0, (1 / 40) ** 2]))


@pytest.mark.parametrize(("points", "own"), [("body12", range(5, 17)), ("coco17", range(17))])
def test_only_points_of_the_set_that_the_photo_shows_count(points, own):
    b = batch(1)
    loss, pictures = KeypointLoss(FakePose(b.keypoints.clone()), points), coloured([1.0, 1.0, 1.0])
    for k in range(17):
        moved = b.keypoints.clone()
        moved[0, k, 0] += 5
        loss.pose.truth = moved
        assert (loss(pictures, b)[0] > (1.5 / 40) ** 2) == (k in own)
    loss.pose.truth = b.keypoints + 5  # everything is off, but nothing of it is seen
    b.keypoints[..., 2] = 0
    assert loss(pictures, b).tolist() == [0.0]


def test_a_picture_without_a_person_does_not_outweigh_the_others():
    b = batch(1)
    loss = KeypointLoss(FakePose(b.keypoints + 1e4))
    assert loss(coloured([0.0, 0.0, 0.0]), b).tolist() == [1.0]


def test_shapes_are_compared_with_the_photos_where_it_shows_a_figure():
    b = batch(4)
    b.pictures = coloured(*[[0.0, 0.0, 0.0]] * 4)  # in -1..1: mid-grey
    b.captions = ["standing, full length, facing the camera"] * 2 + [
        "full length, seen from behind",
        "head and shoulders",
    ]
    assert ShapeLoss(FakeAnthropometer()).judges(b.captions).tolist() == [True, True, False, False]
    found = ShapeLoss(FakeAnthropometer())(coloured([0.5] * 3, [0.55] * 3, [0.9] * 3, [0.9] * 3), b)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5 * 0.5**2, 0.0, 0.0]))
    far = ShapeLoss(FakeAnthropometer())(coloured(*[[1.0] * 3] * 4), b)
    torch.testing.assert_close(far[:2], torch.full((2,), 4.5))  # not 12.5


def test_readings_of_photos_are_multiplied_by_the_gain():
    b = batch(1)
    b.pictures = coloured([0.0, 0.0, 0.0])  # mid-grey, which reads as 5
    b.captions = ["standing, full length, facing the camera"]
    loss = ShapeLoss(FakeAnthropometer(), gain=1.1)  # 5.5
    found = [loss(coloured([bright] * 3), b).item() for bright in (0.5, 0.55)]
    assert found == pytest.approx([0.5 * 0.5**2, 0.0], abs=1e-6)


def test_what_pictures_from_the_same_noise_share_does_not_count():
    b = batch(4)
    b.pictures = coloured(*[[0.0, 0.0, 0.0]] * 4)  # mid-grey, which reads as 5
    b.captions = ["standing, full length, facing the camera"] * 4
    seen = coloured(*[[bright] * 3 for bright in (0.52, 0.53, 0.58, 0.54)])  # off by .2, .3, .8 and .4
    loss, own = ShapeLoss(FakeAnthropometer(), opposites=True), torch.tensor([0.2, 0.3, 0.8, 0.4])
    torch.testing.assert_close(loss(seen, b, torch.tensor([0, 1, 0, 3])), 0.5 * torch.tensor([0.3, 0.3, 0.3, 0.4]) ** 2)
    for other, noises in ((loss, None), (loss, torch.arange(4)), (ShapeLoss(FakeAnthropometer()), torch.zeros(4))):
        torch.testing.assert_close(other(seen, b, noises), 0.5 * own**2)


def test_clip_compares_with_the_caption():
    b = batch(3)
    found = ClipLoss(FakeClip())(coloured([0.5, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]), b)
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 1 - 0.5**0.5]))


def test_what_a_caption_names_must_be_read_off_the_picture():
    b = batch(3)
    b.captions = ["a photo of a woman, standing, full length", "a photo of a man", "by night"]
    pictures = coloured(*[[0.5, 0.0, 0.0]] * 3)
    odds = torch.tensor(0.5).exp()
    first = [-(odds / (odds + len(ATTRIBUTES[name]) - 1)).log() for name in ("gender", "pose", "framing")]
    found = PromptLoss(FakeReader(), list(ATTRIBUTES))(pictures, b)
    torch.testing.assert_close(found, torch.stack([sum(first) / 3, (odds + 1).log(), torch.tensor(0.0)]))
    found = PromptLoss(FakeReader())(pictures, b)  # poses and views alone
    torch.testing.assert_close(found, torch.stack([first[1], torch.tensor(0.0), torch.tensor(0.0)]))
    with pytest.raises(BolidError, match="no attribute 'hat'; there are shirt,"):
        PromptLoss(FakeReader(), ["hat"])


def test_style_is_the_mean_over_the_references_that_exist():
    b = batch(2)
    b.references.pictures[:, 0] = coloured([1.0, -1.0, -1.0])  # red in -1..1
    b.references.pictures[:, 1] = coloured([-1.0, 1.0, -1.0])
    b.references.mask[:] = torch.tensor([[True, True], [True, False]])
    found = ReferenceStyleLoss(FakeClip())(coloured([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), b)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0]))
    b.references.mask[:] = False
    assert ReferenceStyleLoss(FakeClip())(coloured([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), b).tolist() == [0.0, 0.0]


def test_pixels_are_compared_with_the_target():
    b = batch(2)
    pictures = b.pictures * 0.5 + 0.5
    assert PixelLoss()(pictures, b).tolist() == [0.0, 0.0]
    torch.testing.assert_close(PixelLoss()(pictures + 0.1, b), torch.tensor([0.01, 0.01]))


def test_gradients_reach_the_pictures():
    b = batch(2)
    b.captions = ["standing, full length, facing the camera"] * 2
    for loss in (
        KeypointLoss(FakePose(b.keypoints)),
        ShapeLoss(FakeAnthropometer()),
        ShapeLoss(FakeAnthropometer(), opposites=True),
        ClipLoss(FakeClip()),
        PromptLoss(FakeReader()),
        ReferenceStyleLoss(FakeClip()),
        PixelLoss(),
    ):
        pictures = coloured([0.3, 0.2, 0.1], [0.1, 0.5, 0.9]).requires_grad_()
        loss(pictures, b, torch.zeros(2)).sum().backward()
        assert (pictures.grad.flatten(1).abs().sum(1) > 0).all(), loss.name


@pytest.mark.parametrize(
    ("start", "ramp", "weights"),
    [(0, 0, [2, 2, 2, 2]), (2, 0, [0, 0, 2, 2]), (0, 4, [0.5, 1, 1.5, 2]), (1, 2, [0, 1, 2, 2])],
)
def test_a_weight_begins_and_grows(start, ramp, weights):
    loss = PixelLoss(weight=2.0, start=start, ramp=ramp)
    assert [loss.weight_at(step) for step in range(4)] == weights
