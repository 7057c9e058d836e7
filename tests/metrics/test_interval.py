"""Bootstrap intervals over people against closed forms."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bolid.metrics.interval import PersonScores, gap_closed, interval, intervals, resampled, with_bounds


def people(count, pictures, spread, seed=0, shift=0.0):
    """Scores of people who differ by `spread` and whose pictures differ by a tenth of it."""
    rng = np.random.default_rng(seed)
    scores = shift + rng.normal(0, spread, (count, 1)) + rng.normal(0, spread / 10, (count, pictures))
    return PersonScores(torch.from_numpy(scores.ravel()), torch.arange(count).repeat_interleave(pictures) - 3)


def by_hand(values):
    """The normal interval of a mean of independent values, with the bootstrap's standard error."""
    return np.array(norm.interval(0.95, values.mean(), values.std() / len(values) ** 0.5))


@pytest.mark.parametrize("pictures", [1, 6])
def test_it_is_as_wide_as_the_spread_of_people_says_however_many_pictures_they_have(pictures):
    found = people(300, pictures, 2.0)
    means = found.scores.reshape(300, pictures).mean(1).numpy()
    assert interval(found).value == pytest.approx(found.scores.mean().item())
    np.testing.assert_allclose(interval(found)[1:], by_hand(means), atol=0.02)


def test_a_difference_is_paired_by_person():
    one, two = people(300, 4, 2.0), people(300, 4, 2.0, shift=0.5)  # the same people, each half a point better
    noisy = two._replace(scores=two.scores + torch.randn(1200, generator=torch.Generator().manual_seed(0)) * 0.3)
    differences = (noisy.scores - one.scores).reshape(300, 4).mean(1).numpy()
    np.testing.assert_allclose(interval(noisy, one)[1:], by_hand(differences), atol=0.003)
    shuffled = torch.randperm(1200, generator=torch.Generator().manual_seed(1))  # ranks gather in their own order
    mixed = PersonScores(noisy.scores[shuffled], noisy.people[shuffled])
    np.testing.assert_allclose(interval(mixed, one), interval(noisy, one), atol=1e-9)


def test_people_weigh_by_their_pictures():
    scores = PersonScores(torch.tensor([0.0, 0.0, 0.0, 1.0]), torch.tensor([5, 5, 5, 9]))
    assert interval(scores) == (0.25, 0.0, 1.0)  # all of one person, all of the other
    mean, again = interval(scores), interval(scores, PersonScores(torch.zeros(2), torch.tensor([9, 5])))
    assert again == mean


def test_people_of_one_column_only_have_no_difference():
    one = PersonScores(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([1, 2, 3]))
    two = PersonScores(torch.tensor([7.0, 1.0, 0.0]), torch.tensor([4, 2, 1]))
    assert interval(one, two) == (1.0, 1.0, 1.0)
    assert np.isnan(interval(one, PersonScores(torch.ones(1), torch.tensor([8])))).all()


def test_of_one_person_there_are_no_bounds():
    value, *bounds = interval(PersonScores(torch.ones(9), torch.zeros(9, dtype=torch.int64)))
    assert value == 1
    assert np.isnan(bounds).all()


def test_names_are_flat():
    one, two = people(20, 2, 1.0), people(20, 2, 1.0, seed=1)
    found = intervals({"text": {"m": one}, "both": {"m": two}}, [("both", "text")])
    names = ["m/text/low", "m/text/high", "m/both/low", "m/both/high"]
    assert list(found) == [*names, "m/both-text", "m/both-text/low", "m/both-text/high"]
    assert found["m/both-text"] == pytest.approx(float(two.scores.mean() - one.scores.mean()))
    assert (found["m/both-text/low"], found["m/both-text/high"]) == interval(two, one)[1:]


def squares(seed, spread, count=200):
    """One squared error a person."""
    errors = np.random.default_rng(seed).normal(0, spread, count)
    return PersonScores(torch.from_numpy(errors**2), torch.arange(count), root=True)


def test_a_root_is_of_the_mean_and_its_bounds_too():
    found = squares(0, 2.0)
    mean, (value, *bounds) = interval(found._replace(root=False)), interval(found)
    assert value == pytest.approx(found.scores.mean().sqrt().item())
    np.testing.assert_allclose(bounds, np.sqrt(mean[1:]))
    other = squares(1, 1.0)
    difference = interval(found, other).value
    assert difference == pytest.approx((found.scores.mean().sqrt() - other.scores.mean().sqrt()).item())


def test_a_closed_gap_is_a_share_resampled_by_person():
    text, own, floor = squares(0, 1.0), squares(1, 0.7), squares(2, 0.5)
    found = gap_closed(text, own, floor)
    parts = np.stack([part.scores.numpy() for part in (text, own, floor)])

    def share(rows):
        e_text, e_own, e_floor = np.sqrt(parts[:, rows].mean(1))
        return (e_text - e_own) / (e_text - e_floor)

    assert found.value == pytest.approx(share(np.arange(200)))
    rng = np.random.default_rng(3)
    resampled = [share(rng.integers(0, 200, 200)) for _ in range(4000)]
    np.testing.assert_allclose(found[1:], np.percentile(resampled, [2.5, 97.5]), atol=0.02)
    assert gap_closed(text, text, floor).value == 0
    assert gap_closed(text, floor, floor) == (1, 1, 1)


def test_only_people_of_all_three_columns_count_towards_a_gap():
    first, last = (PersonScores(torch.ones(1), torch.tensor([k]), root=True) for k in (0, 9))
    few = [squares(seed, 1.0, 20) for seed in range(3)]
    shorter = few[1]._replace(scores=few[1].scores[1:], people=few[1].people[1:])
    everybody = [part._replace(scores=part.scores[1:], people=part.people[1:]) for part in few]
    assert gap_closed(few[0], shorter, few[2]) == gap_closed(*everybody)
    assert gap_closed(first, last, last) is None


@pytest.mark.filterwarnings("error")
def test_without_a_gap_there_is_no_share_of_it():
    text, own = squares(0, 1.0), squares(1, 0.7)
    assert gap_closed(text, own, text) is None
    assert gap_closed(text, text, text) is None


def test_a_value_stands_with_its_bounds():
    found = interval(people(20, 2, 1.0))
    assert with_bounds("m", found) == {"m": found.value, "m/low": found.low, "m/high": found.high}


def test_of_what_is_no_mean_the_bounds_are_two_bootstrap_errors_away():
    found = people(300, 4, 2.0)
    means = found.scores.reshape(300, 4).mean(1).numpy()
    ours = resampled(found.people, lambda weights: weights @ found.scores / weights.sum(), 400)
    np.testing.assert_allclose(ours, [found.scores.mean().item(), *by_hand(means)], atol=0.03)
    alone = resampled(torch.zeros(5, dtype=torch.int64), lambda weights: weights.sum(), 10)
    assert alone.value == 5
    assert np.isnan(alone[1:]).all()
