"""Each loss against an independent computation."""

import pytest
import torch
from torch.distributions import Normal

from bolid.losses.contrastive import info_nce
from bolid.losses.diffusion import diffusion_loss, person_weight
from bolid.losses.reconstruction import gaussian_nll, mse_by_scale, weighted_mse
from tests import miniature


def test_a_persons_cells_weigh_more_and_each_picture_as_much_as_another():
    batch = miniature.batch()
    batch.silhouettes[:] = 0
    batch.silhouettes[0, :, :24] = 1  # the upper half
    batch.silhouettes[1, :, :2, :2] = 1  # a quarter of one cell
    batch.silhouettes[2] = 1
    batch.silhouette_known[2] = False
    weight = person_weight(batch, torch.zeros(4, 4, 12, 8), 3.0)
    assert weight.shape == (4, 1, 12, 8)
    torch.testing.assert_close(weight.mean((1, 2, 3)), torch.ones(4))
    torch.testing.assert_close(weight[0, 0, 0, 0] / weight[0, 0, -1, 0], torch.tensor(4.0))
    torch.testing.assert_close(weight[1, 0, 0, 0] / weight[1, 0, -1, 0], torch.tensor(1.75))
    assert torch.equal(weight[2:], torch.ones(2, 1, 12, 8))


def test_a_diffusion_loss_can_be_weighted_by_cell():
    predicted, target, weight = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.rand(3, 1, 2, 2)
    expected = sum(((predicted - target)[:, c] ** 2 * weight[:, 0]).mean() for c in range(4)) / 4
    torch.testing.assert_close(diffusion_loss(predicted, target, weight), expected)


def test_weighted_diffusion_loss_is_the_weighted_mean_of_samples():
    predicted, target, weight = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([0.0, 1.0, 2.0])
    per_sample = torch.stack([((p - t) ** 2).mean() for p, t in zip(predicted, target, strict=True)])
    assert torch.allclose(diffusion_loss(predicted, target, weight), (per_sample * weight).mean())


def test_gaussian_nll_is_torchs_with_the_likeliest_variance_up_to_the_constant():
    x, mean = torch.randn(5, 7), torch.randn(5, 7)
    mse = ((x - mean) ** 2).mean(1)
    scales = torch.linspace(0.5, 3, 2001)
    constant = 0.5 * (torch.log(torch.tensor(2 * torch.pi)) + 1) * 7
    likeliest = torch.stack([-Normal(mean, s).log_prob(x).sum(1).mean() for s in scales]).min()
    assert (gaussian_nll(mse, dims=7) + constant).item() == pytest.approx(likeliest.item(), abs=1e-4)


def test_gaussian_nll_leaves_unknown_samples_out():
    known = torch.tensor([True, False])
    assert gaussian_nll(torch.tensor([0.2, 9.0]), known) == gaussian_nll(torch.tensor([0.2]))
    assert gaussian_nll(torch.tensor([0.2, 9.0]), ~known & known) == 0


def test_coarse_scales_tell_how_much_there_is_and_not_its_outline():
    a = torch.zeros(2, 1, 16, 8)
    b = a.clone()
    b[0, :, ::2], b[1] = 1, 0.5  # the same mass, once as stripes
    fine, *coarse = mse_by_scale(b, a)
    assert fine.tolist() == [0.5, 0.25]
    assert torch.allclose(torch.stack(coarse), torch.full((3, 2), 0.25))
    same = torch.nn.functional.mse_loss(a, b, reduction="none").mean((1, 2, 3))
    assert torch.allclose(mse_by_scale(a, b, scales=1)[0], same)


def test_weighted_mse_ignores_pixels_without_weight():
    a, b = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    b[..., 0, 0], b[..., 3, 3] = 2, 100
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., 0, 0], weight[..., 1, 1] = 0.5, 0.5
    assert weighted_mse(a, b, weight).item() == pytest.approx(2.0)


def test_info_nce_is_the_cross_entropy_of_the_cosines_about_the_middle_and_zero_for_perfect_codes():
    a, b = torch.randn(4, 8), torch.randn(4, 8)
    middle = (a.mean(0) + b.mean(0)) / 2
    cosine = torch.nn.functional.cosine_similarity((a - middle)[:, None], (b - middle)[None], dim=-1) / 0.2
    expected = -(cosine.log_softmax(1).diagonal().mean() + cosine.log_softmax(0).diagonal().mean()) / 2
    assert torch.allclose(info_nce(a, b, list("wxyz")), expected, atol=1e-5)
    assert torch.allclose(info_nce(a + 7, b + 7, list("wxyz")), expected, atol=1e-4)
    codes = torch.eye(4)
    assert info_nce(codes, codes, list("wxyz"), 0.1) < 1e-3


def test_photos_of_the_same_person_are_no_negatives():
    codes = torch.eye(4)[[0, 0, 1, 2]]
    assert info_nce(codes, codes, ["a", "a", "b", "c"], 0.1) < 1e-3
    assert info_nce(codes, codes, ["a", "x", "b", "c"], 0.1) > 0.3
