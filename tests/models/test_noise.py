"""The noise schedule against diffusers, closed forms and the published scheduler files."""

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    PNDMScheduler,
)
from diffusers.training_utils import compute_snr

from bolid.core.errors import BolidError
from bolid.models.noise import (
    clean_latents,
    few_step_scheduler,
    min_snr_weight,
    noise_schedule,
    noised,
    regression_target,
    uniform,
)


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
    a, b = (noised(s, latents, torch.arange(len(latents)), torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert a[2].min() < 20
    assert a[2].max() > 980


def test_a_batch_has_a_timestep_of_every_part():
    s, latents = scheduler("epsilon"), torch.zeros(8, 1, 1, 1)
    drawn = [
        noised(s, latents, torch.arange(len(latents)), torch.Generator().manual_seed(seed))[2] for seed in range(200)
    ]
    assert all(sorted((timesteps // 125).tolist()) == list(range(8)) for timesteps in drawn)
    first = torch.stack(drawn)[:, 0].float()  # of one sample: uniform over all of them
    assert first.mean().item() == pytest.approx(499.5, abs=4 * 288.7 / 200**0.5)
    assert first.std().item() == pytest.approx(288.7, rel=0.15)


def test_a_shift_moves_timesteps_towards_noise():
    s, latents = scheduler("epsilon"), torch.zeros(1024, 1, 1, 1)
    plain, shifted = (
        noised(s, latents, torch.arange(len(latents)), torch.Generator().manual_seed(0), shift)[2]
        for shift in (1.0, 3.0)
    )
    share = (plain + 0.5) / 1000
    torch.testing.assert_close(shifted.float(), 1000 * 3 * share / (1 + 2 * share), atol=3.0, rtol=0)
    assert shifted.max() == 999


def test_samples_of_a_group_share_noise_timestep_and_drops_wherever_they_stand():
    s, latents = scheduler("epsilon"), torch.arange(5.0)[:, None, None, None]
    groups = torch.tensor([70, -3, 70, 8, -3])  # a member of 8 is missing, and nothing shifts
    noisy, noise, timesteps = noised(s, latents, groups, torch.Generator().manual_seed(0), offset=0.1)
    for found in (noise.flatten(), timesteps, uniform(groups, torch.Generator().manual_seed(0))):
        assert len(found) == 5
        assert found[0] == found[2] != found[1] == found[4] != found[3] != found[0]
    torch.testing.assert_close(noisy, s.add_noise(latents, noise, timesteps))
    assert uniform(torch.arange(5), torch.Generator().manual_seed(0)).unique().numel() == 5


def test_the_ids_of_groups_do_not_matter():
    s, latents = scheduler("epsilon"), torch.zeros(4, 2, 3, 3)
    one, other = (
        noised(s, latents, torch.tensor(groups), torch.Generator().manual_seed(1))
        for groups in ([5, 9, 9, 2], [0, 1, 1, 2])
    )
    assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_noise_offset_moves_whole_channels():
    def noise(offset):
        groups = torch.arange(400)
        return noised(
            DDPMScheduler(), torch.zeros(400, 4, 6, 6), groups, torch.Generator().manual_seed(0), offset=offset
        )[1]

    assert noise(0.0).mean((2, 3)).std() == pytest.approx(1 / 6, rel=0.1)
    assert noise(0.5).mean((2, 3)).std() == pytest.approx((1 / 36 + 0.25) ** 0.5, rel=0.1)
    moved = noise(0.5) - noise(0.0)
    torch.testing.assert_close(moved, moved[..., :1, :1].expand_as(moved), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_true_answer_gives_the_clean_latents_back(kind):
    s = DDPMScheduler(prediction_type=kind)
    latents, noise = torch.randn(2, 3, 4, 8, 8)
    timesteps = torch.tensor([10, 500, 900])
    answer = {"epsilon": noise, "v_prediction": s.get_velocity(latents, noise, timesteps), "sample": latents}
    noisy = s.add_noise(latents, noise, timesteps)
    torch.testing.assert_close(clean_latents(s, noisy, timesteps, answer[kind]), latents, atol=1e-4, rtol=1e-4)


# scheduler/scheduler_config.json as published
SD15 = {
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
    "num_train_timesteps": 1000, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "trained_betas": None,
}  # fmt: skip
SDXL = {
    "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": False,
    "interpolation_type": "linear", "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "sample_max_value": 1.0, "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
    "timestep_spacing": "leading", "trained_betas": None, "use_karras_sigmas": False,
}  # fmt: skip
LIGHTNING = SDXL | {"timestep_spacing": "trailing"}  # as its model card says
PUBLISHED = {
    "sd15": PNDMScheduler.from_config(SD15),
    "sdxl": EulerDiscreteScheduler.from_config(SDXL),
    "lightning": EulerDiscreteScheduler.from_config(LIGHTNING),
    "lightning_1_step": EulerDiscreteScheduler.from_config(LIGHTNING | {"prediction_type": "sample"}),
}
STEPS = {1: [999], 2: [999, 499], 4: [999, 749, 499, 249], 8: [999, 874, 749, 624, 499, 374, 249, 124]}


@pytest.mark.parametrize("count", STEPS)
@pytest.mark.parametrize("name", PUBLISHED)
def test_few_steps_are_trailing_whatever_the_file_says(name, count):
    found = few_step_scheduler(PUBLISHED[name], count)
    assert found.timesteps.tolist() == STEPS[count]
    assert found.config.prediction_type == PUBLISHED[name].config.get("prediction_type", "epsilon")
    torch.testing.assert_close(found.alphas_cumprod, PUBLISHED[name].alphas_cumprod)


@pytest.mark.parametrize("name", PUBLISHED)
def test_few_steps_end_at_the_clean_latents_even_outside_the_range_of_pictures(name):
    latents, noise = 5 * torch.randn(1, 4, 6, 4), torch.randn(1, 4, 6, 4)
    s = few_step_scheduler(PUBLISHED[name], 4)
    last = s.timesteps[-1]
    answer = latents if s.config.prediction_type == "sample" else noise
    found = s.step(answer, last, s.add_noise(latents, noise, last[None])).prev_sample
    torch.testing.assert_close(found, latents, atol=1e-3, rtol=1e-3)


def test_few_steps_go_as_lightnings_own_sampler_does():
    """Euler's sampler in its own coordinates, z / √ᾱ, from the same noise and by the same answers."""
    ours, theirs = few_step_scheduler(PUBLISHED["sdxl"], 4), EulerDiscreteScheduler.from_config(LIGHTNING)
    theirs.set_timesteps(4)
    noise, answers = torch.randn(1, 4, 6, 4), torch.randn(4, 1, 4, 6, 4)
    z = noise
    alpha = ours.alphas_cumprod[999]
    x = noise / alpha.sqrt()  # what is left of an image at 999 aside
    for answer, our_step, their_step in zip(answers, ours.timesteps, theirs.timesteps, strict=True):
        z = ours.step(answer, our_step, z).prev_sample
        x = theirs.step(answer, their_step, x).prev_sample
    torch.testing.assert_close(z, x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", [EDMEulerScheduler, FlowMatchEulerDiscreteScheduler])
def test_a_model_without_a_sequence_of_betas_is_refused(kind):
    with pytest.raises(BolidError, match=f"base: its {kind.__name__} defines noise by no sequence of β"):
        noise_schedule(kind(), "base")


def test_dynamic_thresholding_leaves_latents_alone():
    made = few_step_scheduler(DDIMScheduler(thresholding=True, beta_schedule="scaled_linear"), 4)
    assert not made.config.thresholding
