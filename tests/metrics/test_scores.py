"""FID, KID, IS and CLIP score against independent implementations."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import nn

from bolid.core.errors import BolidError
from bolid.metrics.clip import ClipScore
from bolid.metrics.fid import FID
from bolid.metrics.inception_score import InceptionScore, inception_score
from bolid.metrics.kid import KID
from tests.metrics.metric_fakes import Pixels, make_batch


@pytest.fixture
def pixels():
    return Pixels()


@pytest.fixture
def drawn():
    """40 photos in -1..1 and as many pictures in 0..1."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(40, 3, 4, 4, generator=generator) * 2 - 1, torch.rand(40, 3, 4, 4, generator=generator) ** 2


def score(metric, photos, pictures, pieces=(7, 20, 13)):
    for photo, picture in zip(photos.split(pieces), pictures.split(pieces), strict=True):
        metric.update(picture, make_batch(photo))
    return next(iter(metric.compute().values())).item()


def features(pixels, photos, pictures):
    with torch.no_grad():
        return [pixels.features(x).double().numpy() for x in ((photos + 1) / 2, pictures)]


def test_fid_is_the_closed_form(pixels, drawn):
    a, b = features(pixels, *drawn)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert score(FID(pixels), *drawn) == pytest.approx(expected, rel=1e-5)


def test_fid_agrees_with_torchmetrics(pixels, drawn):
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Features(nn.Module):
        num_features = 6

        def forward(self, x):
            return pixels.features(x)

    theirs = FrechetInceptionDistance(Features(), normalize=True, input_img_size=(3, 4, 4))
    theirs.update((drawn[0] + 1) / 2, real=True)
    theirs.update(drawn[1], real=False)
    assert score(FID(pixels), *drawn) == pytest.approx(theirs.compute().item(), rel=1e-4)


def test_fid_of_the_same_pictures_is_nothing(pixels, drawn):
    assert score(FID(pixels), drawn[0], (drawn[0] + 1) / 2) == pytest.approx(0, abs=1e-5)


def test_fid_of_one_picture_is_not_a_number(pixels, drawn):
    assert np.isnan(score(FID(pixels), drawn[0][:1], drawn[1][:1], pieces=(1,)))


def test_kid_is_the_mean_over_pairs(pixels, drawn):
    a, b = features(pixels, *drawn)

    def kernel(x, y):
        return (x @ y / 6 + 1) ** 3

    pairs = [(i, j) for i in range(40) for j in range(40)]
    within = [np.mean([kernel(x[i], x[j]) for i, j in pairs if i != j]) for x in (a, b)]
    across = np.mean([kernel(a[i], b[j]) for i, j in pairs])
    assert score(KID(pixels), *drawn) == pytest.approx(sum(within) - 2 * across, rel=1e-5)


def test_kid_forgets_on_reset(pixels, drawn):
    metric = KID(pixels)
    once = score(metric, *drawn)
    metric.reset()
    assert score(metric, *drawn) == once


def test_inception_score_is_its_definition(pixels, drawn):
    with torch.no_grad():
        p = pixels.logits(drawn[1]).softmax(1).double().numpy()
    expected = np.exp(np.mean([(row * np.log(row / p.mean(0))).sum() for row in p]))
    value = score(InceptionScore(pixels), *drawn)
    assert value == pytest.approx(expected, rel=1e-5)
    assert 1 < value < 4


def test_inception_score_needs_classes(pixels):
    pixels.num_classes = 0
    with pytest.raises(BolidError, match="pixels has 0 classes"):
        InceptionScore(pixels)


class Angles(nn.Module):
    """A CLIP whose picture's angle is its mean in radians, and the text's its last number."""

    name = "angles"

    def encode_images(self, pictures):
        angle = pictures.mean((1, 2, 3))
        return torch.stack([angle.cos(), angle.sin()], 1)

    def encode_texts(self, texts):
        angle = torch.tensor([float(text.split()[-1]) for text in texts])
        return torch.stack([angle.cos(), angle.sin()], 1)


def test_clip_score_is_the_cosine_with_the_prompt(drawn):
    photos, pictures = drawn
    angle = pictures.mean((1, 2, 3)).numpy()
    prompt = np.concatenate([np.arange(n) for n in (7, 20, 13)])  # each batch numbers its prompts from 0
    expected = np.maximum(100 * np.cos(angle - prompt), 0).mean()
    metric = ClipScore(Angles())
    assert score(metric, photos, pictures) == pytest.approx(expected, rel=1e-4)
    others = np.concatenate([np.roll(np.arange(n), 1) for n in (7, 20, 13)])
    shuffled = np.maximum(100 * np.cos(angle - others), 0).mean()
    assert metric.compute()["clip_score_shuffled/angles"] == pytest.approx(shuffled, rel=1e-4)


@pytest.mark.parametrize("kind", [FID, KID, InceptionScore])
def test_nothing_enters_a_checkpoint_and_half_precision_leaves_sums_alone(pixels, drawn, kind):
    metric = kind(pixels)
    assert not metric.state_dict()
    assert not list(metric.parameters())
    expected = score(metric, *drawn)
    metric.reset()
    owner = nn.ModuleDict({"metric": metric}).train().to(torch.bfloat16)
    pixels._held[0] = Pixels().network  # the casting rounded its weights, which is not what is asked here
    with torch.autocast("cpu", torch.bfloat16):
        assert score(owner["metric"], *drawn) == pytest.approx(expected, rel=1e-6)


def test_the_name_tells_the_network(pixels, drawn):
    for metric, name in ((FID(pixels), "fid"), (KID(pixels), "kid"), (InceptionScore(pixels), "inception_score")):
        metric.update(drawn[1], make_batch(drawn[0]))
        assert list(metric.compute()) == [f"{name}/pixels"]


@pytest.mark.parametrize("kind", [FID, InceptionScore])
def test_a_picture_that_counts_twice_is_two_pictures(kind, pixels, drawn):
    times = torch.arange(40) % 3
    real, fake = (torch.from_numpy(f) for f in features(pixels, *drawn))
    twice = [x.repeat_interleave(times, 0) for x in drawn]
    weighted = {
        FID: lambda: FID(pixels).distance(real, fake)(times.double()),
        InceptionScore: lambda: inception_score(pixels.logits(drawn[1]), times.double()),
    }[kind]()
    assert weighted.item() == pytest.approx(score(kind(pixels), *twice, pieces=(9, len(twice[0]) - 9, 0)), rel=1e-5)


def test_for_kid_a_picture_that_counts_twice_is_no_pair(pixels, drawn):
    times = torch.arange(40) % 3
    real, fake = features(pixels, *drawn)

    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    def mean(x, y, same):
        pairs = [(i, j) for i in range(40) for j in range(40) if not (same and i == j)]
        weights = np.array([float(times[i] * times[j]) for i, j in pairs])
        return (weights * [kernel(x[i], y[j]) for i, j in pairs]).sum() / weights.sum()

    expected = mean(real, real, True) + mean(fake, fake, True) - 2 * mean(real, fake, False)
    found = KID(pixels).distance(torch.from_numpy(real), torch.from_numpy(fake))(times.double())
    assert found.item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", [FID, KID, InceptionScore])
def test_sets_have_an_interval_around_their_value_where_one_is_asked_for(kind, pixels, drawn):
    metric = kind(pixels, resamples=50)
    value = score(metric, *drawn)
    ((name, found),) = metric.other_intervals().items()
    assert found.value == pytest.approx(value, rel=1e-5)
    assert 0 < found.value - found.low == pytest.approx(found.high - found.value)
    assert name in metric.compute()
    quiet = kind(pixels)
    score(quiet, *drawn)
    assert quiet.other_intervals() == {}
