"""Adherence, body shape and graded words, with judges whose answers are known."""

import numpy as np
import pytest
import torch
from scipy.stats import linregress, spearmanr
from torch import nn

from bolid.core.errors import BolidError
from bolid.metrics.base import numbered
from bolid.metrics.interval import interval
from bolid.metrics.person_found import PersonFound
from bolid.synthetic.measures import RATIOS, SHAPE
from bolid.synthetic.metrics.adherence import PromptAdherence
from bolid.synthetic.metrics.body_shape import BodyShape, ReadingAccuracy
from bolid.synthetic.metrics.clothes_leak import ClothesLeak
from bolid.synthetic.metrics.graded_words import GradedWords
from bolid.synthetic.wording import ATTRIBUTES, BUILD, attributes, shows_figure
from bolid.vision.pose import Pose
from bolid.vision.readers import attribute_labels
from tests.metrics.metric_fakes import make_batch

SCORED = [RATIOS.index(name) for name in SHAPE]
FIGURE = "full length, facing the camera"


class Colours(nn.Module):
    """Reads class numbers off the first pixels' red, one pixel an attribute."""

    classes = ATTRIBUTES

    def labels(self, asked):
        return attribute_labels(self.classes, asked)

    def read(self, pictures):
        return {name: (pictures[:, 0, 0, k] * 255).round().long() for k, name in enumerate(ATTRIBUTES)}


class Pixels(nn.Module):
    """Reads ratios off the first pixels' red."""

    def read(self, pictures):
        return pictures[:, 0, 0, : len(RATIOS)] * 8 - 4


class Somebody(nn.Module):
    """Finds a person in every picture whose last pixel is bright."""

    def estimate(self, pictures):
        return Pose(None, None, (pictures[:, 0, -1, -1] > 0.5).float())


def photos(values, found=True):
    pictures = torch.zeros(len(values), 3, 8, 8)
    pictures[:, 0, 0, : values.shape[1]] = values
    pictures[:, 0, -1, -1] = torch.as_tensor(found).float()
    return pictures


def batch(captions, identities=None, truth=None, full=None):
    """Samples that ask for what captions say, of people with these proportions (B, K)."""
    made = make_batch(torch.zeros(len(captions), 3, 8, 8))
    made.captions = [f"free words, number {k}" for k in range(len(captions))]  # which no metric may read
    made.asked = [attributes(caption) for caption in captions]
    made.full_asked = [attributes(caption) for caption in full or captions]
    made.whole_figure = torch.tensor([shows_figure(caption) for caption in captions])
    made.identities = identities or made.identities
    if truth is not None:
        made.references.proportions = truth
    return made


def test_adherence_counts_what_the_caption_asks_for_and_nothing_else():
    captions = [
        "a photo of a woman, wearing a red shirt and blue trousers, standing",
        "a photo of a person, in a green dress, walking, in a park",
        "a photo of a man, short",
    ]
    shown = {"shirt": [0, 0, 5], "trousers": [1, 1, 1], "background": [0, 8, 8], "gender": [0, 0, 0], "pose": [0, 1, 4]}
    classes = torch.zeros(3, len(ATTRIBUTES))
    for name, numbers in shown.items():
        classes[:, list(ATTRIBUTES).index(name)] = torch.tensor(numbers).float()
    metric, pictures = PromptAdherence(Colours()), photos(classes / 255)
    for rows in (slice(0, 2), slice(2, 3)):
        metric.update(pictures[rows], batch(captions[rows]))
    found = {name.removeprefix("adherence/"): value.item() for name, value in metric.compute().items()}
    assert found == pytest.approx(
        {"shirt": 1 / 2, "trousers": 1, "background": 1, "gender": 1 / 2, "pose": 1, "view": np.nan, "framing": np.nan},
        nan_ok=True,
    )


def test_clothes_leak_where_pictures_wear_the_references_colours_against_the_prompt():
    colours = ATTRIBUTES["shirt"]
    asked, worn, third = colours[:3]
    captions = [f"a photo of a woman, wearing a {asked} shirt"] * 4
    made = batch(captions, ["anna", "anna", "ben", "ben"])
    made.references.attributes = [[{"shirt": colour}] for colour in (worn, worn, third, asked)]
    shown = torch.zeros(4, len(ATTRIBUTES))
    shown[:, list(ATTRIBUTES).index("shirt")] = torch.tensor([1, 0, 1, 1]).float()  # worn, asked, worn, worn
    metric = ClothesLeak(Colours())
    metric.update(photos(shown / 255), made)
    # Anna's first picture wears her references' colour, and Ben's references' not; Ben's first wears Anna's; Ben's
    # second does not count, as his reference wears what was asked for.
    assert metric.compute()["clothes_leak"] == pytest.approx((1 + 0 - 1) / 3)
    scores = metric.person_scores()["clothes_leak"]
    assert scores.scores.tolist() == [1, 0, -1]
    assert scores.people.unique().shape == (2,)
    metric.update(photos(shown[2:3] / 255), made[2:3])  # Ben alone, in what Anna wore in the batch before
    assert metric.compute()["clothes_leak"] == pytest.approx((1 + 0 - 1 - 1) / 4)
    metric.reset()
    with pytest.raises(BolidError, match="another person's references"):
        metric.update(photos(shown[:2] / 255), made[:2])


@pytest.fixture
def truth():
    """The proportions (6, 7) of p0 to p5."""
    return torch.randn(6, len(RATIOS), generator=torch.Generator().manual_seed(0)).clamp(-3.9, 3.9)


def readings(count=24, seed=1):
    return torch.randn(count, len(RATIOS), generator=torch.Generator().manual_seed(seed)).clamp(-3.9, 3.9)


def test_body_shape_error_is_of_the_mean_reading_and_unreadable_pictures_are_average(truth):
    read, who = readings(), [f"p{i % 5}" for i in range(24)]  # there is no image of p5
    rows_of = [i % 5 for i in range(24)]
    found = torch.arange(24) % 7 != 0
    metric, pictures = BodyShape(Pixels(), Somebody()), photos((read + 4) / 8, found)
    for rows in (slice(0, 10), slice(10, 24)):
        metric.update(pictures[rows], batch([FIGURE] * len(who[rows]), who[rows], truth[rows_of[rows]]))
    counted = (read * found[:, None]).numpy()
    mean = np.stack([counted[[w == f"p{i}" for w in who]].mean(0) for i in range(5)])
    error = mean - truth[:5].numpy()
    scores = {name: value.item() for name, value in metric.compute().items()}
    assert scores["body_shape_error"] == pytest.approx(np.sqrt((error[:, SCORED] ** 2).mean()), rel=1e-5)
    for k, name in enumerate(RATIOS):
        assert scores[f"body_shape_error/{name}"] == pytest.approx(np.sqrt((error[:, k] ** 2).mean()), rel=1e-4)
    told = metric.person_scores()["body_shape_error"]
    order = [told.people.tolist().index(number) for number in numbered([f"p{i}" for i in range(5)]).tolist()]
    np.testing.assert_allclose(told.scores[order], (error[:, SCORED] ** 2).mean(1), rtol=1e-4)
    assert interval(told).value == pytest.approx(scores["body_shape_error"], rel=1e-5)
    centred = [(v[:, SCORED] - v[:, SCORED].mean(0)).ravel() for v in (truth[:5].numpy(), mean)]
    assert scores["body_shape_slope"] == pytest.approx(linregress(*centred).slope, rel=1e-4)


def test_perfect_readings_have_no_error_and_follow_the_truth(truth):
    metric = BodyShape(Pixels(), Somebody())
    metric.update(photos((truth + 4) / 8), batch([FIGURE] * 6, truth=truth))
    scores = metric.compute()
    assert scores["body_shape_error"] == pytest.approx(0, abs=1e-5)
    assert scores["body_shape_slope"] == pytest.approx(1, abs=1e-5)


def test_what_shows_no_whole_figure_or_is_of_a_person_without_known_proportions_does_not_count(truth):
    read = readings(12)
    read[:6] = truth
    captions = [FIGURE] * 6 + ["close-up portrait, facing the camera", "full length, in profile", FIGURE] * 2
    known = truth[[i % 6 for i in range(12)]].clone()
    known[[8, 11]] = torch.nan
    metric, asked = BodyShape(Pixels(), Somebody()), batch(captions, [f"p{i % 6}" for i in range(12)], known)
    for rows in (slice(0, 9), slice(9, 12)):
        metric.update(photos((read + 4) / 8)[rows], asked[rows])
    assert metric.compute()["body_shape_error"] == pytest.approx(0, abs=1e-5)
    assert sum(map(len, metric.by_person()[2])) == 6


def test_samples_without_proportions_have_no_shape_and_other_proportions_are_refused():
    metric = BodyShape(Pixels(), Somebody())
    metric.update(photos(readings(2)), batch([FIGURE] * 2, truth=torch.zeros(2, 0)))
    assert metric.compute()["body_shape_error"].isnan()
    with pytest.raises(BolidError, match=r"compares 7 proportions \(waist.*\), and the samples carry 3"):
        metric.update(photos(readings(2)), batch([FIGURE] * 2, truth=torch.zeros(2, 3)))


def test_accuracy_is_r2_of_whole_figures(truth):
    from torchmetrics.functional.regression import r2_score

    read, rows = readings(48), [i % 6 for i in range(48)]
    read += truth[rows]
    captions = [FIGURE] * 30 + ["close-up portrait, facing the camera"] * 9
    captions += ["full length, in profile"] * 9
    metric = ReadingAccuracy(Pixels(), pictures=5)
    metric.update(photos((read + 4) / 8), batch(captions, [f"p{i}" for i in rows], truth[rows]))
    scores = {name: value.item() for name, value in metric.compute().items()}
    single = r2_score(read[:30], truth[rows][:30], multioutput="raw_values")
    mean = torch.stack([read[[k for k in range(30) if rows[k] == i]].mean(0) for i in range(6)])
    several = r2_score(mean, truth, multioutput="raw_values")
    for key, expected in (("r2_1", single), ("r2_5", several)):
        assert scores[key] == pytest.approx(expected[SCORED].mean().item(), rel=1e-4)
        assert [scores[f"{key}/{name}"] for name in RATIOS] == pytest.approx(expected.tolist(), rel=1e-4)


def test_people_with_too_few_pictures_have_no_mean(truth):
    metric = ReadingAccuracy(Pixels())
    metric.update(photos(readings(6)), batch([FIGURE] * 6, truth=truth))
    scores = metric.compute()
    assert scores["r2_1"].isfinite()
    assert scores["r2_8"].isnan()


def test_graded_words_are_ranked_with_ties_and_without_the_unsaid():
    levels = [0, 1, 2, 3, 4, 4, 3, 2, 0, 1]
    captions = [f"a photo of a man, {BUILD[k][i % 2]}, tall, {FIGURE}" for i, k in enumerate(levels)]
    others = ["a photo of a man", f"a photo of a man, {BUILD[4][0]}, in profile", "a photo of a man, from the knees up"]
    others += [f"a photo of a man, tall, {FIGURE}", f"a photo of a woman, {FIGURE}", FIGURE]
    read = readings(16)
    metric = GradedWords(Pixels())
    for rows in (slice(0, 5), slice(5, 16)):
        said = [*captions, *others][rows]
        metric.update(photos((read[rows] + 4) / 8), batch(said))
    build, scores = read[:, RATIOS.index("build")], metric.compute()
    assert scores["build_words_correlation"] == pytest.approx(spearmanr(levels, build[:10]).statistic, abs=1e-5)
    assert scores["build_spread"] == pytest.approx(build[13:].numpy().std(ddof=1), abs=1e-5)


def test_graded_words_of_full_captions_need_not_stand_in_the_prompts():
    read, full = readings(5), [f"a photo of a man, {BUILD[k][0]}, {FIGURE}" for k in (0, 1, 2, 3, 4)]
    silent, spoken = GradedWords(Pixels(), full=True), GradedWords(Pixels())
    told = batch([FIGURE] * 5, full=full)
    for metric in (silent, spoken):
        metric.update(photos((read + 4) / 8), told)
    build = read[:, RATIOS.index("build")]
    assert silent.compute()["build_words_correlation"] == pytest.approx(spearmanr(range(5), build).statistic, abs=1e-5)
    assert spoken.compute()["build_words_correlation"].isnan()


def test_the_share_of_pictures_with_a_person():
    metric = PersonFound(Somebody())
    for found in ([True, False], [True, True, True]):
        metric.update(photos(readings(len(found)), torch.tensor(found)), batch([FIGURE] * len(found)))
    assert metric.compute()["person_found"] == pytest.approx(0.8)


def test_nothing_seen_is_not_a_number():
    assert all(v.isnan() for v in GradedWords(Pixels()).compute().values())
    assert PersonFound(Somebody()).compute()["person_found"].isnan()
    shape = BodyShape(Pixels(), Somebody())
    assert all(v.isnan() for v in shape.compute().values())
    assert np.isnan(interval(shape.person_scores()["body_shape_error"])).all()
