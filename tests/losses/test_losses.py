"""Each loss against an independent computation."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.training_utils import compute_snr
from torch.distributions import Normal

from bolid.losses.contrastive import info_nce
from bolid.losses.diffusion import diffusion_loss, lots, min_snr_weight, noised, person_weight, regression_target
from bolid.losses.reconstruction import gaussian_nll, mse_by_scale, weighted_mse
from tests import miniature


def scheduler(kind):
    return DDPMScheduler(prediction_type=kind, beta_schedule="scaled_linear")


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_target_recovers_the_clean_latents_through_diffusers_own_step(kind):
    latents, noise = torch.randn(3, 4, 6, 4), torch.randn(3, 4, 6, 4)
    s = scheduler(kind)
    timesteps = torch.tensor([400, 400, 400])
    target = regression_target(s, latents, noise, timesteps)
    ddim = DDIMScheduler.from_config(s.config, clip_sample=False)
    ddim.set_timesteps(10)
    step = ddim.step(target, 400, s.add_noise(latents, noise, timesteps), return_dict=True)
    assert torch.allclose(step.pred_original_sample, latents, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_min_snr_equals_diffusers_training_scripts(kind):
    s, timesteps = scheduler(kind), torch.tensor([0, 10, 300, 900, 999])
    snr = compute_snr(s, timesteps)
    clipped = torch.stack([snr, 5 * torch.ones_like(snr)], 1).min(1)[0]
    expected = clipped / (snr + 1) if kind == "v_prediction" else clipped / snr
    assert torch.allclose(min_snr_weight(s, timesteps, 5.0), expected, rtol=1e-4)


def test_noise_depends_only_on_the_generator_and_covers_all_timesteps():
    s, latents = scheduler("epsilon"), torch.zeros(512, 1, 1, 1)
    a, b = (noised(s, latents, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert a[2].min() < 20
    assert a[2].max() > 980


def test_a_batch_has_a_timestep_of_every_part():
    s, latents = scheduler("epsilon"), torch.zeros(8, 1, 1, 1)
    drawn = [noised(s, latents, torch.Generator().manual_seed(seed))[2] for seed in range(200)]
    assert all(sorted((timesteps // 125).tolist()) == list(range(8)) for timesteps in drawn)
    first = torch.stack(drawn)[:, 0].float()  # of one sample: uniform over all of them
    assert first.mean().item() == pytest.approx(499.5, abs=4 * 288.7 / 200**0.5)
    assert first.std().item() == pytest.approx(288.7, rel=0.15)


def test_a_shift_moves_timesteps_towards_noise():
    s, latents = scheduler("epsilon"), torch.zeros(1024, 1, 1, 1)
    plain, shifted = (noised(s, latents, torch.Generator().manual_seed(0), shift)[2] for shift in (1.0, 3.0))
    share = (plain + 0.5) / 1000
    torch.testing.assert_close(shifted.float(), 1000 * 3 * share / (1 + 2 * share), atol=3.0, rtol=0)
    assert shifted.max() == 999


def test_neighbours_that_are_alike_share_noise_timestep_and_lots():
    s, latents = scheduler("epsilon"), torch.arange(5.0)[:, None, None, None]
    noisy, noise, timesteps = noised(s, latents, torch.Generator().manual_seed(0), offset=0.1, alike=2)
    for drawn in (noise.flatten(), timesteps, lots(5, torch.Generator().manual_seed(0), alike=2)):
        assert len(drawn) == 5
        assert drawn[0] == drawn[1] != drawn[2] == drawn[3] != drawn[4]
    torch.testing.assert_close(noisy, s.add_noise(latents, noise, timesteps))
    assert lots(5, torch.Generator().manual_seed(0)).unique().numel() == 5


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
