"""What probes read off codes whose content is known."""

import numpy as np
import pytest
import torch

from bolid.core.errors import BolidError
from bolid.evaluation.probing import ProbeSpec
from bolid.metrics.looks import Looks, posterior
from bolid.metrics.pose_probe import LIMBS, directions
from bolid.metrics.probe import Seen, measure
from bolid.metrics.retrieval import top1
from bolid.metrics.shape_probe import ShapeProbe
from bolid.models.body_vae import BodyVAE, Posterior
from bolid.synthetic.measures import RATIOS, SHAPE
from bolid.synthetic.metrics import BuildProbe, RatiosProbe
from bolid.synthetic.wording import BUILDS
from tests import miniature

PHOTOS, WIDTH = 8, 24
TENSORS = ("features", "weight", "keypoints", "text", "proportions")
LISTS = ("identities", "attributes", "names")
PROBES = {"shape": RatiosProbe(), "build": BuildProbe()}
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


def looks(first, count, content, noise=0.0):
    """Photos whose features hold 24 numbers: who it is (3), the body (7), the shirt (4), the pose (2), nothing (8)."""
    rng = torch.Generator().manual_seed(first)
    deviation = torch.randn(count, len(RATIOS), generator=rng)
    rows = torch.arange(count).repeat_interleave(PHOTOS)
    colour = torch.randint(len(COLOURS), (len(rows),), generator=rng)
    angle = 1.6 + 0.6 * torch.randn(len(rows), generator=rng)  # limbs mostly hang down
    keypoints = torch.ones(len(rows), 17, 3)
    for start, end in LIMBS.values():  # parents first
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
    attributes = [{"build": BUILDS[g], "shirt": COLOURS[c]} for g, c in zip(grade, colour.tolist(), strict=True)]
    who = [f"p{first + r:06d}" for r in rows.tolist()]
    return Looks(features, torch.ones(len(rows)), keypoints, text, deviation[rows], who, attributes, names)


def report(content, noise=0.0, families=None, model=None):
    train, test = looks(0, 150, content, noise), looks(900_000, 80, content, noise)
    return measured(train, test, families, model)


def measured(train, test, families=None, model=None):
    seen = Seen(model or Averaging(), test, train, families or {})
    found = measure(ProbeSpec(probes=PROBES).chosen().values(), seen)
    assert not found.notes
    return found.values


def part(seen, rows):
    """Some rows of looks."""
    return Looks(
        **{k: getattr(seen, k)[rows] for k in TENSORS}, **{k: [getattr(seen, k)[i] for i in rows] for k in LISTS}
    )


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
    test = looks(900_000, 80, "")
    head = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([int(who[1:]) - 900_000 for who in test.identities])
    test.features[:, :3] = 10 * head[rows // 4]
    train = looks(0, 50, "")
    found = measured(train, test, families)
    assert 0.1 < found["twin_top1"] < 0.4  # chance is .25
    assert found["retrieval_top1_4view/twins"] < 0.4
    assert found["retrieval_top1_4view"] > 0.95  # among strangers the head tells
    test.features[:, 3:6] = torch.randn(80, 3, generator=torch.Generator().manual_seed(2))[rows]
    assert measured(train, test, families)["twin_top1"] > 0.95


def notes(train, test, **probes):
    """What is measured, and what is said of the rest."""
    found = measure(ProbeSpec(probes=probes or PROBES).chosen().values(), Seen(Averaging(), test, train))
    return found.values, "\n".join(found.notes)


def test_people_with_few_photos_are_not_looked_for_and_all_else_is_measured():
    test = looks(900_000, 20, "person")
    few = part(test, [k for k, name in enumerate(test.names) if name.endswith(("_0.png", "_1.png"))])
    found, said = notes(looks(0, 30, "person"), few)
    assert said == (
        "`retrieval_top1_4view`, `retrieval_top1_1view` left out: 0 of the people tested have more than 4 photos, and "
        "it takes two."
    )
    assert found["varying_dims"] == 3
    assert {"shape_r2", "clothes_leak", "pose_leak", "prior_gain_nats", "prior_build_corr"} <= found.keys()


def test_without_people_of_the_training_only_what_needs_no_fit_is_measured():
    found, said = notes(None, looks(900_000, 20, "person"))
    assert found.keys() == {"retrieval_top1_4view", "retrieval_top1_1view", "kl_nats", "varying_dims"}
    for name in ("shape_r2", "prior_gain_nats", "clothes_leak", "pose_leak", "prior_build_corr"):
        assert f"`{name}` left out: it is fitted on people of the training, and the data show none" in said


def test_photos_that_show_no_limbs_have_no_pose_leak_and_those_that_show_some_have_theirs():
    train, test = looks(0, 30, "pose"), looks(900_000, 20, "pose")
    for seen in (train, test):
        seen.keypoints[:, 13:] = 0  # knees and ankles are out of sight
        seen.keypoints[4:, 9] = 0  # four left wrists are too few
    found, said = notes(train, test)
    assert found["pose_leak"] > 0.65
    assert "`pose_leak` is of 3 of 8 limbs; too few photos show the left forearm, left thigh, left shin," in said
    for seen in (train, test):
        seen.keypoints[:] = 0
    found, said = notes(train, test)
    assert not {"pose_leak", "pose_leak/mean"} & found.keys()
    assert "`pose_leak` left out: no arm or leg moves in at least 5 photos of both training and test people" in said
    assert {"clothes_leak", "retrieval_top1_4view", "shape_r2"} <= found.keys()


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        ((0, {}), (20, {}), "the shirt is known of 0 training photos and 160 test photos, and it takes 5 of each"),
        ((30, {"shirt": "red"}), (20, None), "the shirt is of one kind in all training photos"),
        ((30, None), (0, {}), "the shirt is known of 240 training photos and 0 test photos"),
    ],
)
def test_clothes_that_are_unknown_or_alike_leak_nothing_that_could_be_measured(train, test, reason):
    people = []
    for first, (known, worn) in ((0, train), (900_000, test)):
        seen = looks(first, 30 if first == 0 else 20, "")
        if not known or worn:
            seen.attributes = [dict(worn or {}) for _ in seen.names]
        people.append(seen)
    found, said = notes(*people)
    assert "clothes_leak" not in found
    assert f"`clothes_leak` left out: {reason}" in said


def test_shapes_are_measured_of_those_whose_are_known_whoever_filled_them_in():
    train, test = looks(0, 60, "shape"), looks(900_000, 40, "shape")
    for seen in (train, test):
        seen.proportions = seen.proportions[:, :3].clone()  # of no renderer
        seen.proportions[: 10 * PHOTOS] = torch.nan
    found, _ = notes(train, test, shape=ShapeProbe())
    assert found["shape_r2"] == pytest.approx(np.mean([found[f"shape_r2/{k}"] for k in range(3)]))
    assert found["shape_r2"] > 0.9
    train.proportions[: 56 * PHOTOS] = torch.nan
    found, said = notes(train, test, shape=ShapeProbe())
    assert "shape_r2" not in found
    assert "`shape_r2` left out: true proportions are known of 4 training people and 30 test people" in said
    train.proportions, test.proportions = torch.zeros(len(train.names), 0), torch.zeros(len(test.names), 0)
    assert "known of 0 training people and 0 test people" in notes(train, test)[1]


def test_few_training_photos_or_people_make_no_prior():
    train, test = looks(0, 5, ""), looks(900_000, 20, "")
    found, said = notes(train, test)
    assert "prior_gain_nats" not in found
    assert "more than 48 training photos of at least 5 people, and there are 40 of 5" in said
    assert "there are 32 of 4" in notes(looks(0, 4, ""), test)[1]
    assert "takes more than 48 training photos of at least 5" in notes(part(looks(0, 30, ""), range(8)), test)[1]


def test_codes_that_are_no_numbers_are_refused():
    test = looks(900_000, 20, "")
    test.features[0] = torch.nan
    with pytest.raises(BolidError, match="codes that are not finite"):
        notes(looks(0, 30, ""), test)


def test_probes_are_chosen_by_name():
    assert list(ProbeSpec().chosen()) == ["retrieval", "usage", "shape", "prior", "clothes", "pose"]
    chosen = ProbeSpec(probes={"shape": RatiosProbe(), "pose": None, "build": BuildProbe()}).chosen()
    assert set(chosen) == {"retrieval", "usage", "shape", "prior", "clothes", "build"}
    assert isinstance(chosen["shape"], RatiosProbe)
    with pytest.raises(BolidError, match="there is no 'shpae' to leave out; there are retrieval, usage, shape"):
        ProbeSpec(probes={"shpae": None}).chosen()


def test_the_encoder_sees_a_set_as_it_does_in_training(tmp_path):
    model = BodyVAE.from_pretrained(str(miniature.save_body_vae(tmp_path))).eval()
    batch = miniature.batch(count=3, references=3)
    batch.references.mask[:] = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    with torch.no_grad():
        expected = model.encode(batch.references.pictures, batch.references.keypoints, batch.references.mask)
        features, weight = model.look(batch.references.pictures.flatten(0, 1), batch.references.keypoints.flatten(0, 1))
    nothing = torch.zeros(9, 1)
    seen = Looks(features, weight, torch.zeros(9, 17, 3), nothing, nothing, [""] * 9, [{}] * 9, [""] * 9)
    found = posterior(model, seen, [[0, 1, 2], [3, 4], [6]])
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.logvar, expected.logvar)


def test_sets_are_a_persons_first_and_next_photos_in_order():
    seen = looks(0, 2, "")
    both = part(seen, torch.randperm(16, generator=torch.Generator().manual_seed(0)).tolist())
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
