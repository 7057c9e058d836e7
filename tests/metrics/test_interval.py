"""Bootstrap intervals over people against closed forms."""

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bolid.metrics.interval import PersonScores, interval, intervals


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
