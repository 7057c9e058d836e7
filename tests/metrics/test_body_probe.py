"""What probes read off codes whose content is known."""

import numpy as np
import pytest
import torch

from bolid.metrics.body_probe import body_report, top1
from bolid.metrics.leaks import LIMBS, directions
from bolid.metrics.looks import Looks, posterior
from bolid.models.body_vae import BodyVAE, Posterior
from bolid.synthetic.measures import CALIBRATION, RATIOS, SHAPE, Body
from bolid.synthetic.wording import BUILD
from tests import miniature

PHOTOS, WIDTH = 8, 24
TENSORS = ("features", "weight", "keypoints", "text")
COLOURS = ("red", "blue", "green", "black")


class Averaging(torch.nn.Module):
    """An encoder whose code is the weighted mean of the features."""

    def __init__(self, variance=1e-6):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.register_buffer("mean_code", torch.zeros(WIDTH))
        self.variance = variance

    def merge(self, features, weight):
        mean = (features * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        return Posterior(mean, torch.full_like(mean, np.log(self.variance)))


def bodies(first, count):
    rng = np.random.default_rng(first)
    gender = ("woman", "man")
    average = [[CALIBRATION[gender[k % 2]][name] for name in RATIOS] for k in range(count)]
    deviation = rng.standard_normal((count, len(RATIOS)))
    ratios = np.array(average)[..., 0] + deviation * np.array(average)[..., 1]
    table = {f"p{first + k:06d}": Body(gender[k % 2], torch.tensor(ratios[k]).float()) for k in range(count)}
    return table, torch.tensor(deviation).float()


def looks(first, count, content, noise=0.0):
    """Photos whose features hold 24 numbers: who it is (3), the body (7), the shirt (4), the pose (2), nothing (8)."""
    rng = torch.Generator().manual_seed(first)
    table, deviation = bodies(first, count)
    rows = torch.arange(count).repeat_interleave(PHOTOS)
    colour = torch.randint(len(COLOURS), (len(rows),), generator=rng)
    angle = 1.6 + 0.6 * torch.randn(len(rows), generator=rng)  # limbs mostly hang down
    keypoints = torch.ones(len(rows), 17, 3)
    for start, end in LIMBS:  # parents first
        keypoints[:, end, :2] = keypoints[:, start, :2] + torch.stack([angle.cos(), angle.sin()], 1)
    features = torch.zeros(len(rows), WIDTH)
    if "person" in content:
        features[:, :3] = torch.randn(count, 3, generator=rng)[rows]
    if "shape" in content:
        features[:, 3:10] = deviation[rows]
    if "shirt" in content:
        features[:, 10:14] = torch.nn.functional.one_hot(colour, len(COLOURS)).float()
    if "pose" in content:
        features[:, 14:16] = torch.stack([angle.cos(), angle.sin()], 1)
    features += noise * torch.randn(features.shape, generator=rng)
    features[:, 16:] += torch.randn(len(rows), 8, generator=rng) * 1e-3
    text = torch.randn(len(rows), 4, generator=rng)
    if "words" in content:
        text[:, 0] = deviation[rows, RATIOS.index("build")]
    names = [f"test/p{first + r:06d}_{k % PHOTOS}.png" for k, r in enumerate(rows.tolist())]
    grade = (1.2 * deviation[rows, RATIOS.index("build")] + 2).round().clamp(0, 4).int().tolist()
    captions = [
        f"a photo of a person, {BUILD[g][0]}, wearing a {COLOURS[c]} shirt"
        for g, c in zip(grade, colour.tolist(), strict=True)
    ]
    who = [f"p{first + r:06d}" for r in rows.tolist()]
    return Looks(features, torch.ones(len(rows)), keypoints, text, who, captions, names), table


def report(content, noise=0.0, families=None, model=None):
    (train, ours), (test, theirs) = looks(0, 150, content, noise), looks(900_000, 80, content, noise)
    return body_report(model or Averaging(), train, test, ours | theirs, families)


@pytest.mark.parametrize(
    ("content", "high", "low"),
    [
        ("person", {"retrieval_top1_4view", "retrieval_top1_1view"}, {"shape_r2", "clothes_leak", "pose_leak"}),
        ("shape", {"shape_r2", "retrieval_top1_4view"}, {"clothes_leak", "pose_leak", "clothes_leak/mean"}),
        ("shirt", {"clothes_leak", "clothes_leak/mean"}, {"shape_r2", "pose_leak", "retrieval_top1_1view"}),
        ("pose", {"pose_leak", "pose_leak/mean"}, {"shape_r2", "clothes_leak", "retrieval_top1_1view"}),
        ("", set(), {"shape_r2", "clothes_leak", "pose_leak", "retrieval_top1_4view"}),
    ],
)
def test_probes_find_what_is_there_and_nothing_else(content, high, low):
    found = report(content)
    assert all(found[name] > 0.65 for name in high), found
    assert all(found[name] < 0.1 for name in low), found


def test_shape_is_the_mean_over_all_but_the_arm_and_more_photos_tell_more():
    found = report("shape", noise=1.0)
    assert found["shape_r2"] == pytest.approx(np.mean([found[f"shape_r2/{name}"] for name in SHAPE]))
    # Of four photos' mean the noise has a quarter of the body's variance: a linear probe reads 1 / (1 + 1/4).
    assert found["shape_r2"] == pytest.approx(0.8, abs=0.06)


def test_captions_tell_the_body_that_their_features_hold():
    told = report("shape words")
    assert told["prior_build_corr"] > 0.8
    # Of 7 numbers that vary, one is known up to nothing; the other 17 are not the body's.
    assert told["prior_gain_nats"] > 1
    assert told["prior_gain_nats/shuffled"] > 1
    mute = report("shape")
    assert abs(mute["prior_build_corr"]) < 0.15
    assert mute["prior_gain_nats"] < 0.1 > mute["prior_gain_nats/shuffled"]


def test_a_sample_of_a_wide_posterior_tells_less_than_its_mean():
    found = report("shirt", model=Averaging(variance=4.0))
    assert found["clothes_leak"] < 0.3 < 0.6 < found["clothes_leak/mean"]
    expected = 0.5 * WIDTH * (4 - 1 - np.log(4))  # and the code's own square
    assert found["kl_nats"] >= expected


def test_twins_are_told_apart_only_by_what_differs_within_a_family():
    families = {f"p{900_000 + k:06d}": k // 4 for k in range(80)}
    test, table = looks(900_000, 80, "")
    head = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([int(who[1:]) - 900_000 for who in test.identities])
    test.features[:, :3] = 10 * head[rows // 4]
    train, ours = looks(0, 50, "")
    found = body_report(Averaging(), train, test, ours | table, families)
    assert 0.1 < found["twin_top1"] < 0.4  # chance is .25
    assert found["retrieval_top1_4view/twins"] < 0.4
    assert found["retrieval_top1_4view"] > 0.95  # among strangers the head tells
    test.features[:, 3:6] = torch.randn(80, 3, generator=torch.Generator().manual_seed(2))[rows]
    assert body_report(Averaging(), train, test, ours | table, families)["twin_top1"] > 0.95


def test_a_set_shows_other_scenes_before_other_outfits():
    names = [f"train/p000001_{k}{outfit}.png" for k in range(4) for outfit in ("", "b")]
    empty = {k: torch.zeros(8, 1) for k in TENSORS}
    found = Looks(**empty, identities=["p000001"] * 8, captions=[""] * 8, names=names)
    assert found.sets() == {"p000001": [0, 2, 4, 6]}
    assert found.sets(4) == {"p000001": [1, 3, 5, 7]}


def test_without_bodies_families_or_second_photos_the_rest_is_told():
    train, _ = looks(0, 30, "person")
    test, _ = looks(900_000, 20, "person")
    assert not {"shape_r2", "twin_top1"} & body_report(Averaging(), train, test).keys()
    few = [k for k, name in enumerate(test.names) if name.endswith(("_0.png", "_1.png"))]
    parts = {k: getattr(test, k)[few] for k in TENSORS}
    test = Looks(**parts, **{k: [getattr(test, k)[i] for i in few] for k in ("identities", "captions", "names")})
    found = body_report(Averaging(), train, test)
    assert "retrieval_top1_4view" not in found
    assert found["varying_dims"] == 3


def test_the_encoder_sees_a_set_as_it_does_in_training(tmp_path):
    model = BodyVAE.from_pretrained(str(miniature.save_body_vae(tmp_path))).eval()
    batch = miniature.batch(count=3, references=3)
    batch.references.mask[:] = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    with torch.no_grad():
        expected = model.encode(batch.references.pictures, batch.references.keypoints, batch.references.mask)
        features, weight = model.look(batch.references.pictures.flatten(0, 1), batch.references.keypoints.flatten(0, 1))
    seen = Looks(features, weight, torch.zeros(9, 17, 3), torch.zeros(9, 1), [""] * 9, [""] * 9, [""] * 9)
    found = posterior(model, seen, [[0, 1, 2], [3, 4], [6]])
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.logvar, expected.logvar)


def test_sets_are_a_persons_first_and_next_photos_in_order():
    seen, _ = looks(0, 2, "")
    shuffled = torch.randperm(16, generator=torch.Generator().manual_seed(0)).tolist()
    lists = {k: [getattr(seen, k)[i] for i in shuffled] for k in ("identities", "captions", "names")}
    tensors = {k: getattr(seen, k)[shuffled] for k in TENSORS}
    both = Looks(**tensors, **lists)
    names = {who: [both.names[row][-5] for row in rows] for who, rows in both.sets(4).items()}
    assert names == {"p000000": ["4", "5", "6", "7"], "p000001": ["4", "5", "6", "7"]}
    assert both.sets(8) == {}
    joined = Looks.cat([seen, both])
    assert len(joined.names) == len(joined.features) == 32


def test_top1_by_hand():
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    queries = torch.tensor([[2.0, 0.1], [0.1, 5.0]])
    assert top1(queries, gallery, torch.tensor([0, 2])) == 0.5
    assert top1(queries, gallery, torch.tensor([0, 2]), torch.tensor([[True, True, True], [True, False, True]])) == 1.0


def test_directions_are_only_of_limbs_seen_whole():
    points = torch.ones(2, 17, 3)
    points[0, 7, :2] = torch.tensor([1.0, 4.0])  # three pixels below the shoulder
    points[1, 7] = 0
    along, seen = directions(points, (5, 7))
    assert seen.tolist() == [True, False]
    np.testing.assert_allclose(along, [[0.0, 1.0]], atol=1e-6)
