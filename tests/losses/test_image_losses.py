"""Losses on images, by hand, with a pose network, a CLIP and readers whose answers are known."""

import pytest
import torch
from torch import nn

from bolid.core.errors import BolidError
from bolid.losses import (
    ClipLoss,
    KeypointLoss,
    PairedShapeLoss,
    PixelLoss,
    PromptLoss,
    ReferenceStyleLoss,
    ShapeLoss,
)
from bolid.vision.pose import Pose
from bolid.vision.readers import AttributeReader, ProportionReader
from tests import miniature

CLASSES = {"pose": ("standing", "walking", "sitting"), "view": ("front", "back"), "framing": ("whole", "head")}


class FakePose(nn.Module):
    """Finds every keypoint as far right of its place as the image's mean is bright, in pixels."""

    def __init__(self, truth):
        super().__init__()
        self.truth = truth

    def forward(self, images):
        away = torch.zeros(len(images), 17, 3)
        away[..., 0] = 1.0
        return Pose(self.truth + away * images.mean((1, 2, 3))[:, None, None], None, None)


class FakeClip(nn.Module):
    """An image's embedding is its mean colour, a text's is red."""

    def encode_images(self, images):
        return nn.functional.normalize(images.mean((2, 3)), dim=1)

    def encode_texts(self, texts):
        return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(texts), -1)


class FakeAnthropometer(ProportionReader):
    """Reads every proportion as ten times the image's mean brightness."""

    def __init__(self):
        super().__init__(nn.Identity())

    def forward(self, images):
        return 10 * images.mean((1, 2, 3))[:, None].expand(-1, 7)


class FakeReader(AttributeReader):
    """Thinks every first class the likelier the redder an image is, by the same odds for all attributes."""

    classes = CLASSES

    def __init__(self):
        super().__init__(nn.Identity())

    def forward(self, images):
        red = images[:, 0].mean((1, 2))
        return {k: torch.cat([red[:, None], red.new_zeros(len(red), len(v) - 1)], 1) for k, v in CLASSES.items()}


def batch(count=3):
    found = miniature.batch(count=count)
    found.keypoints[..., 2] = 1.0
    found.keypoints[..., 1] = torch.linspace(4, 44, 17)  # the person is 40 pixels tall
    found.whole_figure[:] = True
    return found


def coloured(*colours):
    return torch.tensor(colours)[:, :, None, None].expand(-1, -1, *miniature.SIZE).clone()


def scored(loss, images, b, groups=None):
    return loss(images, b, b.groups if groups is None else torch.tensor(groups))


def test_keypoints_are_compared_in_heights_of_the_person():
    b = batch(2)
    loss = KeypointLoss(FakePose(b.keypoints))
    images = coloured([0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    torch.testing.assert_close(scored(loss, images, b), torch.tensor([0.0, (1 / 40) ** 2]))


@pytest.mark.parametrize(("points", "own"), [("body12", range(5, 17)), ("coco17", range(17))])
def test_only_points_of_the_set_that_the_photo_shows_count(points, own):
    b = batch(1)
    loss, images = KeypointLoss(FakePose(b.keypoints.clone()), points), coloured([1.0, 1.0, 1.0])
    for k in range(17):
        moved = b.keypoints.clone()
        moved[0, k, 0] += 5
        loss.pose.truth = moved
        assert (scored(loss, images, b)[0] > (1.5 / 40) ** 2) == (k in own)
    loss.pose.truth = b.keypoints + 5  # everything is off, but nothing of it is seen
    b.keypoints[..., 2] = 0
    assert scored(loss, images, b).tolist() == [0.0]


def test_an_image_without_a_person_does_not_outweigh_the_others():
    b = batch(1)
    loss = KeypointLoss(FakePose(b.keypoints + 1e4))
    assert scored(loss, coloured([0.0, 0.0, 0.0]), b).tolist() == [1.0]


def test_proportions_are_compared_with_the_photos():
    b = batch(2)
    b.pictures = coloured(*[[0.0, 0.0, 0.0]] * 2)  # in -1..1: mid-grey
    found = scored(ShapeLoss(FakeAnthropometer()), coloured([0.5] * 3, [0.55] * 3), b)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.5 * 0.5**2]))
    far = scored(ShapeLoss(FakeAnthropometer()), coloured(*[[1.0] * 3] * 2), b)
    torch.testing.assert_close(far, torch.full((2,), 4.5))  # not 12.5


def test_readings_of_photos_are_multiplied_by_the_gain():
    b = batch(1)
    b.pictures = coloured([0.0, 0.0, 0.0])  # mid-grey, which reads as 5
    loss = ShapeLoss(FakeAnthropometer(), gain=1.1)  # 5.5
    found = [scored(loss, coloured([bright] * 3), b).item() for bright in (0.5, 0.55)]
    assert found == pytest.approx([0.5 * 0.5**2, 0.0], abs=1e-6)


def test_what_a_pair_shares_does_not_count_whatever_stands_between_its_members():
    b = batch(4)
    b.pictures = coloured(*[[0.0, 0.0, 0.0]] * 4)  # mid-grey, which reads as 5
    images = coloured(*[[bright] * 3 for bright in (0.52, 0.53, 0.58, 0.54)])  # off by .2, .3, .8 and .4
    paired, own = PairedShapeLoss(FakeAnthropometer()), torch.tensor([0.2, 0.3, 0.8, 0.4])
    found = scored(paired, images, b, [7, 1, 7, 3])
    torch.testing.assert_close(found, 0.5 * torch.tensor([0.3, 0.3, 0.3, 0.4]) ** 2)
    for loss, groups in ((paired, [0, 1, 2, 3]), (ShapeLoss(FakeAnthropometer()), [0, 0, 0, 0])):
        torch.testing.assert_close(scored(loss, images, b, groups), 0.5 * own**2)


def test_each_loss_says_which_samples_it_can_score():
    b = batch(4)
    b.keypoints[1, 5:, 2] = 0  # a face alone
    b.keypoints[2, :, 2] = 0
    b.whole_figure = torch.tensor([True, True, False, True])
    b.groups = torch.tensor([4, 4, 5, 5])
    b.asked = [{"pose": "standing"}, {"view": "flying"}, {}, {"framing": "head"}]
    b.captions[3] = " "
    b.references.mask[0] = False
    assert KeypointLoss(FakePose(b.keypoints)).can_score(b).tolist() == [True, False, False, True]
    assert KeypointLoss(FakePose(b.keypoints), "coco17").can_score(b).tolist() == [True, True, False, True]
    assert ShapeLoss(FakeAnthropometer()).can_score(b).tolist() == [True, True, False, True]
    assert PairedShapeLoss(FakeAnthropometer()).can_score(b).tolist() == [True, True, False, False]
    assert PromptLoss(FakeReader()).can_score(b).tolist() == [True, False, False, False]
    assert PromptLoss(FakeReader(), ["framing"]).can_score(b).tolist() == [False, False, False, True]
    assert ClipLoss(FakeClip()).can_score(b).tolist() == [True, True, True, False]
    assert ReferenceStyleLoss(FakeClip()).can_score(b).tolist() == [False, True, True, True]
    assert PixelLoss().can_score(b).all()


def test_clip_compares_with_the_caption():
    b = batch(3)
    found = scored(ClipLoss(FakeClip()), coloured([0.5, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]), b)
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 1 - 0.5**0.5]))


def test_what_a_caption_asks_for_must_be_read_off_the_image_and_no_caption_is_read():
    b = batch(2)
    b.captions = ["something else", "standing"]
    b.asked = [{"pose": "standing", "framing": "whole", "hat": "red"}, {"pose": "walking", "view": "front"}]
    images = coloured(*[[0.5, 0.0, 0.0]] * 2)
    first, other = torch.tensor(0.5).exp(), torch.tensor(1.0)
    pose = first + 2
    found = scored(PromptLoss(FakeReader(), list(CLASSES)), images, b)
    expected = [(-(first / pose).log() - (first / (first + 1)).log()) / 2]
    expected += [(-(other / pose).log() - (first / (first + 1)).log()) / 2]
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(scored(PromptLoss(FakeReader(), ["pose"]), images, b)[0], -(first / pose).log())
    with pytest.raises(BolidError, match="no attribute 'hat'; there are pose, view, framing"):
        PromptLoss(FakeReader(), ["hat"])


def test_style_is_the_mean_over_the_references_that_exist():
    b = batch(2)
    b.references.pictures[:, 0] = coloured([1.0, -1.0, -1.0])  # red in -1..1
    b.references.pictures[:, 1] = coloured([-1.0, 1.0, -1.0])
    b.references.mask[:] = torch.tensor([[True, True], [True, False]])
    found = scored(ReferenceStyleLoss(FakeClip()), coloured([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), b)
    torch.testing.assert_close(found, torch.tensor([0.5, 0.0]))
    b.references.mask[:] = False
    assert scored(ReferenceStyleLoss(FakeClip()), coloured([1.0, 0.0, 0.0], [1.0, 0.0, 0.0]), b).tolist() == [0.0, 0.0]


def test_pixels_are_compared_with_the_target():
    b = batch(2)
    images = b.pictures * 0.5 + 0.5
    assert scored(PixelLoss(), images, b).tolist() == [0.0, 0.0]
    torch.testing.assert_close(scored(PixelLoss(), images + 0.1, b), torch.tensor([0.01, 0.01]))


def test_gradients_reach_the_images():
    b = batch(2)
    b.asked = [{"pose": "standing"}] * 2
    for loss in (
        KeypointLoss(FakePose(b.keypoints)),
        ShapeLoss(FakeAnthropometer()),
        PairedShapeLoss(FakeAnthropometer()),
        ClipLoss(FakeClip()),
        PromptLoss(FakeReader()),
        ReferenceStyleLoss(FakeClip()),
        PixelLoss(),
    ):
        images = coloured([0.3, 0.2, 0.1], [0.1, 0.5, 0.9]).requires_grad_()
        loss(images, b, b.groups).sum().backward()
        assert (images.grad.flatten(1).abs().sum(1) > 0).all(), loss


@pytest.mark.parametrize(
    ("start", "ramp", "weights"),
    [(0, 0, [2, 2, 2, 2]), (2, 0, [0, 0, 2, 2]), (0, 4, [0.5, 1, 1.5, 2]), (1, 2, [0, 1, 2, 2])],
)
def test_a_weight_begins_and_grows(start, ramp, weights):
    loss = PixelLoss(weight=2.0, start=start, ramp=ramp)
    assert [loss.weight_at(step) for step in range(4)] == weights
