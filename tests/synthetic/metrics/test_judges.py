"""Adherence, body shape and graded words, with judges whose answers are known."""

import numpy as np
import pytest
import torch
from scipy.stats import linregress, spearmanr
from torch import nn

from bolid.core.errors import BolidError
from bolid.metrics.interval import interval
from bolid.metrics.person_found import PersonFound
from bolid.synthetic.measures import PEOPLE, RATIOS, SHAPE
from bolid.synthetic.metrics.adherence import PromptAdherence
from bolid.synthetic.metrics.body_shape import BodyShape, ReadingAccuracy
from bolid.synthetic.metrics.clothes_leak import ClothesLeak
from bolid.synthetic.metrics.graded_words import GradedWords
from bolid.synthetic.wording import ATTRIBUTES, BUILD
from bolid.vision.pose import Pose
from tests.data.fabricate import fabricate_bodies
from tests.metrics.metric_fakes import make_batch

SCORED = [RATIOS.index(name) for name in SHAPE]
FIGURE = "full length, facing the camera"


class Colours(nn.Module):
    """Reads class numbers off the first pixels' red, one pixel an attribute."""

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


def batch(captions, identities=None):
    made = make_batch(torch.zeros(len(captions), 3, 8, 8))
    made.captions = made.full_captions = list(captions)
    made.identities = identities or made.identities
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
    made.references.captions = [[f"a photo of a woman, wearing a {c} shirt"] for c in (worn, worn, third, asked)]
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
def people(tmp_path):
    """Six people with known ratios; returns the folder and their deviations (6, 7) from the average."""
    return tmp_path, fabricate_bodies(tmp_path, [f"p{i}" for i in range(6)])


def readings(count=24, seed=1):
    return torch.randn(count, len(RATIOS), generator=torch.Generator().manual_seed(seed)).clamp(-3.9, 3.9)


def test_body_shape_error_is_of_the_mean_reading_and_unreadable_pictures_are_average(people):
    folder, truth = people
    read, who = readings(), [f"p{i % 5}" for i in range(24)]  # nobody draws p5
    found = torch.arange(24) % 7 != 0
    metric, pictures = BodyShape(Pixels(), folder, Somebody()), photos((read + 4) / 8, found)
    for rows in (slice(0, 10), slice(10, 24)):
        metric.update(pictures[rows], batch([FIGURE] * len(who[rows]), who[rows]))
    counted = (read * found[:, None]).numpy()
    mean = np.stack([counted[[w == f"p{i}" for w in who]].mean(0) for i in range(5)])
    error = mean - truth[:5].numpy()
    scores = {name: value.item() for name, value in metric.compute().items()}
    assert scores["body_shape_error"] == pytest.approx(np.sqrt((error[:, SCORED] ** 2).mean()), rel=1e-5)
    for k, name in enumerate(RATIOS):
        assert scores[f"body_shape_error/{name}"] == pytest.approx(np.sqrt((error[:, k] ** 2).mean()), rel=1e-4)
    told = metric.person_scores()["body_shape_error"]
    np.testing.assert_allclose(told.scores, (error[:, SCORED] ** 2).mean(1), rtol=1e-4)
    assert told.people.tolist() == [0, 1, 2, 3, 4]
    assert interval(told).value == pytest.approx(scores["body_shape_error"], rel=1e-5)
    centred = [(v[:, SCORED] - v[:, SCORED].mean(0)).ravel() for v in (truth[:5].numpy(), mean)]
    assert scores["body_shape_slope"] == pytest.approx(linregress(*centred).slope, rel=1e-4)


def test_perfect_readings_have_no_error_and_follow_the_truth(people):
    folder, truth = people
    metric = BodyShape(Pixels(), folder, Somebody())
    metric.update(photos((truth + 4) / 8), batch([FIGURE] * 6, [f"p{i}" for i in range(6)]))
    scores = metric.compute()
    assert scores["body_shape_error"] == pytest.approx(0, abs=1e-5)
    assert scores["body_shape_slope"] == pytest.approx(1, abs=1e-5)


def test_pictures_that_were_not_to_show_a_whole_figure_do_not_count(people):
    folder, truth = people
    read, captions = (
        readings(12),
        [FIGURE] * 6 + ["close-up portrait, facing the camera", "full length, in profile", ""] * 2,
    )
    read[:6] = truth
    metric = BodyShape(Pixels(), folder, Somebody())
    drawn = batch(captions, [f"p{i % 6}" for i in range(12)])
    drawn.full_captions = [FIGURE] * 12  # what the photo showed says nothing of what was drawn
    for rows in (slice(0, 9), slice(9, 12)):
        metric.update(photos((read + 4) / 8)[rows], drawn[rows])
    assert metric.compute()["body_shape_error"] == pytest.approx(0, abs=1e-5)
    assert sum(map(len, metric.by_person()[1])) == 6


def test_people_may_be_rendered_after_the_metric_was_built(people, tmp_path):
    later = tmp_path / "later"
    metric = BodyShape(Pixels(), later, Somebody()).clone()
    pictures, drawn = photos(readings(6)), batch([FIGURE] * 6, [f"p{i}" for i in range(6)])
    with pytest.raises(BolidError, match="only folders of rendered people"):
        metric.update(pictures, drawn)
    later.mkdir()
    (later / PEOPLE).write_bytes((people[0] / PEOPLE).read_bytes())
    metric.update(pictures, drawn)
    torch.testing.assert_close(metric.by_person()[0], people[1], atol=1e-4, rtol=0)


def test_strangers_are_named(people):
    with pytest.raises(BolidError, match="does not know anna"):
        BodyShape(Pixels(), people[0], Somebody()).update(photos(readings(1)), batch([FIGURE], ["anna"]))


def test_accuracy_is_r2_of_whole_figures(people):
    from torchmetrics.functional.regression import r2_score

    folder, truth = people
    read, rows = readings(48), [i % 6 for i in range(48)]
    read += truth[rows]
    captions = [FIGURE] * 30 + ["close-up portrait, facing the camera"] * 9
    captions += ["full length, in profile"] * 9
    metric = ReadingAccuracy(Pixels(), folder, pictures=5)
    metric.update(photos((read + 4) / 8), batch(captions, [f"p{i}" for i in rows]))
    scores = {name: value.item() for name, value in metric.compute().items()}
    single = r2_score(read[:30], truth[rows][:30], multioutput="raw_values")
    mean = torch.stack([read[[k for k in range(30) if rows[k] == i]].mean(0) for i in range(6)])
    several = r2_score(mean, truth, multioutput="raw_values")
    for key, expected in (("r2_1", single), ("r2_5", several)):
        assert scores[key] == pytest.approx(expected[SCORED].mean().item(), rel=1e-4)
        assert [scores[f"{key}/{name}"] for name in RATIOS] == pytest.approx(expected.tolist(), rel=1e-4)


def test_people_with_too_few_pictures_have_no_mean(people):
    metric = ReadingAccuracy(Pixels(), people[0])
    metric.update(photos(readings(6)), batch([FIGURE] * 6, [f"p{i}" for i in range(6)]))
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
    told = batch([FIGURE] * 5)
    told.full_captions = full
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


def test_nothing_seen_is_not_a_number(people):
    assert all(v.isnan() for v in GradedWords(Pixels()).compute().values())
    assert PersonFound(Somebody()).compute()["person_found"].isnan()
    shape = BodyShape(Pixels(), people[0], Somebody())
    assert all(v.isnan() for v in shape.compute().values())
    assert np.isnan(interval(shape.person_scores()["body_shape_error"])).all()
