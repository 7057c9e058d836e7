"""Directions against codes that are made of known ones."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.linear_model import LinearRegression

from bolid.core.errors import BolidError
from bolid.models.body_directions import fit_body_directions, load_directions, save_directions

D, RATIOS = 12, ("waist", "hip", "shoulder", "torso", "leg", "arm", "build")


@pytest.fixture(scope="module")
def people():
    rng = torch.Generator().manual_seed(0)
    deviations = torch.randn(300, len(RATIOS), generator=rng)
    deviations[:, 1] += deviations[:, 0]  # wide waists come with wide hips
    true = torch.randn(len(RATIOS), D, generator=rng)
    codes = 5 + deviations @ true + 0.1 * torch.randn(300, D, generator=rng)
    return codes, deviations, true


def test_each_direction_changes_one_proportion_alone(people):
    codes, deviations, true = people
    found, explained = fit_body_directions(codes, deviations, RATIOS)
    torch.testing.assert_close(torch.stack([found[name] for name in RATIOS]), true, atol=0.05, rtol=0)
    assert explained > 0.99


def test_it_is_least_squares(people):
    codes, deviations, _ = people
    noisy = codes + torch.randn(codes.shape, generator=torch.Generator().manual_seed(1))
    found, explained = fit_body_directions(noisy, deviations, RATIOS)
    theirs = LinearRegression().fit(deviations, noisy)
    np.testing.assert_allclose(torch.stack(list(found.values())).numpy(), theirs.coef_.T, atol=1e-4)
    expected = 1 - np.square(noisy.numpy() - theirs.predict(deviations)).sum() / noisy.var(0).sum() / (len(noisy) - 1)
    assert explained == pytest.approx(float(expected), abs=1e-4)


def test_they_are_saved_for_their_encoder_only(people, tmp_path):
    found, _ = fit_body_directions(*people[:2], RATIOS)
    path = tmp_path / "new" / "directions.safetensors"
    save_directions(found, path, "b" * 64)
    for model in ("b" * 64, ""):
        again = load_directions(path, model)
        assert all(torch.equal(again[name], found[name]) for name in RATIOS)
    with pytest.raises(BolidError, match="another body encoder; find them with"):
        load_directions(path, "c" * 64)
    save_file({"x": torch.ones(1)}, tmp_path / "other.safetensors")
    for wrong, told in (("other", "holds no directions"), ("none", "no such file of directions")):
        with pytest.raises(BolidError, match=told):
            load_directions(tmp_path / f"{wrong}.safetensors", "")


def test_too_few_people_are_refused():
    with pytest.raises(BolidError, match="20 photos are too few to fit 7 directions"):
        fit_body_directions(torch.randn(20, D), torch.randn(20, len(RATIOS)), RATIOS)
    with pytest.raises(BolidError, match=r"2 names \(leg, arm\) for 7 proportions"):
        fit_body_directions(torch.randn(90, D), torch.randn(90, len(RATIOS)), ["leg", "arm"])
