"""The text prior against the closed forms of scipy and scikit-learn, and what it refuses."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from bolid.core.errors import BolidError
from bolid.models.body_prior import BodyPrior, _ridge, fit_body_prior, load_body_prior

D, TEXT = 3, 5
PEOPLE = [f"p{k}" for k in range(20_000)]


@pytest.fixture(scope="module")
def truth():
    rng = torch.Generator().manual_seed(0)
    prior = BodyPrior(D, TEXT)
    factor = torch.tensor([[1.0, 0, 0], [0.8, 0.5, 0], [-0.3, 0.2, 0.7]])
    values = {"weight": torch.randn(D, TEXT, generator=rng), "bias": torch.tensor([1.0, -2.0, 0.5]), "factor": factor}
    prior.load_state_dict(values)
    return prior


def sampled(truth, count, seed=1):
    features = torch.randn(count, TEXT, generator=torch.Generator().manual_seed(seed))
    return truth.sample(features, torch.Generator().manual_seed(seed + 1)), features


def test_log_likelihood_is_that_of_scipy(truth):
    codes, features = sampled(truth, 6)
    covariance = (truth.factor @ truth.factor.T).numpy()
    expected = [
        multivariate_normal(mean, covariance).logpdf(code)
        for mean, code in zip(truth.mean(features).numpy(), codes.numpy(), strict=True)
    ]
    np.testing.assert_allclose(truth.log_prob(codes, features).numpy(), expected, rtol=1e-4)


def test_a_fit_finds_the_gaussian_that_the_codes_are_from(truth):
    found = fit_body_prior(*sampled(truth, 20_000), PEOPLE[:20_000])
    torch.testing.assert_close(found.weight, truth.weight, atol=0.03, rtol=0)
    torch.testing.assert_close(found.bias, truth.bias, atol=0.03, rtol=0)
    torch.testing.assert_close(found.factor @ found.factor.T, truth.factor @ truth.factor.T, atol=0.03, rtol=0)
    codes, features = sampled(truth, 5_000, seed=9)
    assert abs(found.log_prob(codes, features).mean() - truth.log_prob(codes, features).mean()) < 0.01


@pytest.mark.parametrize("penalty", [0.1, 100.0])
def test_the_mean_is_ridge_regression(truth, penalty):
    codes, features = sampled(truth, 50)
    expected = Ridge(penalty).fit(features, codes).predict(features)
    found = _ridge(codes.double(), features.double(), torch.tensor(penalty)).mean(features.double())
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_samples_deviate_as_far_as_the_temperature_says(truth):
    features = torch.randn(1, TEXT, generator=torch.Generator().manual_seed(0)).expand(20_000, -1)
    for temperature in (0.0, 0.5, 1.0):
        codes = truth.sample(features, torch.Generator().manual_seed(1), temperature)
        torch.testing.assert_close(codes.mean(0), truth.mean(features[:1])[0], atol=0.03, rtol=0)
        expected = temperature**2 * truth.factor @ truth.factor.T
        torch.testing.assert_close(codes.T.cov(), expected, atol=0.03, rtol=0)


def test_captions_that_tell_nothing_are_not_believed():
    rng = torch.Generator().manual_seed(0)
    codes, features = torch.randn(60, D, generator=rng), torch.randn(60, 40, generator=rng)
    found = fit_body_prior(codes, features, PEOPLE[:60])
    assert found.mean(torch.randn(200, 40, generator=rng)).std(0).max() < 0.15


def test_what_captions_say_of_known_people_is_not_believed_either():
    rng = torch.Generator().manual_seed(0)
    who = torch.arange(40).repeat_interleave(10)  # whose captions name them, so to speak
    codes = torch.randn(40, D, generator=rng)[who] + 0.1 * torch.randn(400, D, generator=rng)
    features = torch.randn(40, 60, generator=rng)[who]
    found = fit_body_prior(codes, features, [str(k) for k in who.tolist()])
    assert found.mean(torch.randn(200, 60, generator=rng)).std(0).max() < 0.3
    leaked = fit_body_prior(codes, features, [str(k) for k in range(400)])
    assert leaked.mean(torch.randn(200, 60, generator=rng)).std(0).min() > 0.5


def test_features_that_are_constant_leave_the_plain_gaussian():
    codes = torch.randn(500, D, generator=torch.Generator().manual_seed(0)) + 3
    found = fit_body_prior(codes, torch.zeros(500, 1), PEOPLE[:500])
    torch.testing.assert_close(found.mean(torch.zeros(1, 1))[0], codes.mean(0))
    torch.testing.assert_close(found.factor @ found.factor.T, codes.T.cov(), atol=1e-4, rtol=1e-4)


def test_too_few_codes_are_refused():
    with pytest.raises(BolidError, match="6 captions are too few for a prior over 3 numbers"):
        fit_body_prior(torch.randn(6, D), torch.randn(6, TEXT), PEOPLE[:6])


def test_a_saved_prior_is_loaded_for_its_own_networks_only(truth, tmp_path):
    prior = fit_body_prior(*sampled(truth, 100), PEOPLE[:100], body_model="b" * 64, text_model="t" * 64)
    prior.save_pretrained(tmp_path)
    again = load_body_prior(str(tmp_path), "b" * 64, "t" * 64)
    codes, features = sampled(truth, 4)
    torch.testing.assert_close(again.log_prob(codes, features), prior.log_prob(codes, features))
    load_body_prior(str(tmp_path))
    for wrong in (("c" * 64, ""), ("", "c" * 64)):
        with pytest.raises(BolidError, match=r"another \w+_model \(\w{8}, not cccccccc\): fit one with"):
            load_body_prior(str(tmp_path), *wrong)
    with pytest.raises(BolidError, match=r"nowhere is missing or holds no config\.json"):
        load_body_prior(str(tmp_path / "nowhere"))
