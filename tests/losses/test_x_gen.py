"""x_gen against the closed form and the stock pipeline, and where its gradient goes."""

import pytest
import torch
from diffusers import DDPMScheduler

from bolid.conditions import FaceCondition
from bolid.losses.x_gen import Denoising, FewStep, OneStep, clean_latents
from bolid.models.attention import install_branches
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.pipelines.bolid import BoLIDPipeline
from tests import miniature


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def pipe(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    if request.param == "sd":
        backbone = StableDiffusion(str(miniature.save_sd(root / "sd", "v_prediction")))
    else:
        backbone = StableDiffusionXL(str(miniature.save_sdxl(root / "sdxl")))
    branch = FaceCondition()
    install_branches(backbone.unet, [branch.projector(backbone.text_dim)])
    return BoLIDPipeline(backbone, [branch])


def denoising(backbone, timesteps, complete=None, judges=None):
    batch = miniature.batch(count=len(timesteps))
    latents = backbone.encode_pictures(batch.pictures)
    noisy = backbone.noise_scheduler.add_noise(latents, torch.randn_like(latents), torch.tensor(timesteps))
    text, embeds = backbone.encode_prompt(batch.captions), [batch.references.faces[:, :1]]
    predicted = backbone.predict(noisy, torch.tensor(timesteps), text, embeds, batch.time_ids)
    complete = torch.ones(len(timesteps), dtype=torch.bool) if complete is None else torch.tensor(complete)
    judges = torch.tensor(judges or [1] * len(timesteps))
    away = [torch.flip(e, [0]) for e in embeds]  # another person, for want of an opposite
    return Denoising(noisy, torch.tensor(timesteps), predicted, judges, complete, text, embeds, away, batch.time_ids)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_true_answer_gives_the_clean_latents_back(kind):
    scheduler = DDPMScheduler(prediction_type=kind)
    latents, noise = torch.randn(2, 3, 4, 8, 8)
    timesteps = torch.tensor([10, 500, 900])
    answer = {"epsilon": noise, "v_prediction": scheduler.get_velocity(latents, noise, timesteps), "sample": latents}
    noisy = scheduler.add_noise(latents, noise, timesteps)
    torch.testing.assert_close(clean_latents(scheduler, noisy, timesteps, answer[kind]), latents, atol=1e-4, rtol=1e-4)


def test_one_step_takes_complete_samples_with_little_noise(pipe):
    state = denoising(pipe.backbone, [10, 900, 400, 20], [True, True, True, False])
    made = OneStep(below=500)(pipe.backbone, state, torch.Generator())
    assert made.rows.tolist() == [0, 2]
    assert made.pictures.shape == (2, 3, *miniature.SIZE)
    assert OneStep(below=500, most=1)(pipe.backbone, state, torch.Generator()).rows.tolist() == [0]
    assert OneStep(below=5)(pipe.backbone, state, torch.Generator()).pictures.shape == (0, 3, *miniature.SIZE)


@pytest.mark.parametrize("estimator", [OneStep, FewStep])
def test_what_most_losses_can_judge_comes_first(pipe, estimator):
    state = denoising(pipe.backbone, [10, 400, 400, 20], judges=[1, 2, 0, 2])
    for most, rows in ((None, [0, 1, 2, 3]), (3, [0, 1, 3]), (2, [1, 3]), (1, [1])):
        assert estimator(most=most)(pipe.backbone, state, torch.Generator()).rows.tolist() == rows


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_few_step_draws_what_the_stock_pipeline_draws(pipe, guidance):
    state = denoising(pipe.backbone, [10, 900])
    noise = torch.randn(state.noisy.shape, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        made = FewStep(steps=3, guidance_scale=guidance)(pipe.backbone, state, torch.Generator().manual_seed(3))
    pairs = zip(state.negatives, state.embeds, strict=True)
    embeds = [torch.cat(pair) if guidance > 1 else pair[1] for pair in pairs]
    stock = pipe.backbone.pipeline(
        miniature.batch(count=2).captions, num_inference_steps=3, guidance_scale=guidance, latents=noise,
        output_type="pt", ip_adapter_image_embeds=embeds, height=miniature.SIZE[0], width=miniature.SIZE[1],
    ).images  # fmt: skip
    torch.testing.assert_close(made.pictures, stock, atol=2e-4, rtol=0)
    assert made.rows.tolist() == [0, 1]
    assert len(FewStep(steps=1, most=1)(pipe.backbone, state, torch.Generator()).pictures) == 1


def test_opposites_are_drawn_from_the_same_noise_whoever_is_left_out(pipe):
    state = denoising(pipe.backbone, [10] * 4, judges=[1, 0, 2, 2])
    alone = [e[:1].expand(4, -1, -1) for e in state.embeds]  # the same person, caption and size
    text = state.text.take(torch.tensor([0, 0, 0, 0]))
    state = state._replace(text=text, embeds=alone, negatives=alone, time_ids=state.time_ids[:1].expand(4, -1))

    def drawn(alike, most):
        made = FewStep(2, most=most)(pipe.backbone, state._replace(alike=alike), torch.Generator().manual_seed(0))
        apart = (made.pictures[:, None] - made.pictures).abs().amax((2, 3, 4))
        assert torch.equal(apart < 1e-3, made.noises[:, None] == made.noises)
        return dict(zip(made.rows.tolist(), made.pictures, strict=True))

    pairs, three, single = drawn(2, None), drawn(2, 3), drawn(1, None)
    for first, second in ((0, 1), (2, 3)):
        torch.testing.assert_close(pairs[first], pairs[second])
        assert not torch.allclose(single[first], single[second], atol=1e-3)
    assert not torch.allclose(pairs[0], pairs[2], atol=1e-3)
    assert three.keys() == {0, 2, 3}
    torch.testing.assert_close(three[0], pairs[0])


@pytest.mark.parametrize("estimator", [OneStep(), FewStep(2, 1), FewStep(2, 2), FewStep(2, 2, recompute=True)])
def test_gradients_reach_the_branches_and_nothing_else(pipe, estimator):
    pipe.backbone.zero_grad()
    state = denoising(pipe.backbone, [10, 400])
    estimator(pipe.backbone, state, torch.Generator().manual_seed(0)).pictures.square().mean().backward()
    reached = {name for name, p in pipe.backbone.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    trained = {name for name, p in pipe.backbone.named_parameters() if p.requires_grad}
    assert reached == trained
    assert all("_ip." in name or "encoder_hid_proj" in name for name in reached)


def test_recomputing_changes_no_gradient(pipe):
    gradients = []
    for recompute in (False, True):
        pipe.backbone.zero_grad()
        state = denoising(pipe.backbone, [10, 400])._replace(noisy=torch.ones(2, 4, 24, 16))
        made = FewStep(2, 2, recompute=recompute)(pipe.backbone, state, torch.Generator().manual_seed(0))
        made.pictures.square().mean().backward()
        gradients.append([p.grad.clone() for p in pipe.backbone.parameters() if p.grad is not None])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_more_of_the_last_steps_give_another_gradient(pipe):
    norms = []
    for last in (1, 3):
        pipe.backbone.zero_grad()
        made = FewStep(3, last)(pipe.backbone, denoising(pipe.backbone, [10]), torch.Generator().manual_seed(0))
        made.pictures.square().mean().backward()
        norms.append(sum(p.grad.norm().item() for p in pipe.backbone.parameters() if p.grad is not None))
    assert norms[0] != pytest.approx(norms[1], rel=1e-3)


def test_the_gradient_of_a_guided_drawing_is_the_slope_of_what_it_draws(pipe):
    """Through what guidance steers away from, too: central differences of the weights along the gradient."""
    state = denoising(pipe.backbone, [10, 400])
    branch = [p for n, p in pipe.backbone.named_parameters() if "_v_ip" in n]
    estimator = FewStep(2, 2, guidance_scale=3.0)

    def drawn():
        latents, _ = estimator.latents(pipe.backbone, state, torch.Generator().manual_seed(0))
        return latents.double().square().mean()

    pipe.backbone.zero_grad()
    drawn().backward()
    norm = torch.stack([p.grad.norm() for p in branch]).norm().item()

    @torch.no_grad()
    def drawn_after(step):
        for p in branch:
            p.add_(p.grad, alpha=step / norm)
        return drawn().item()

    ahead, behind = drawn_after(0.01), drawn_after(-0.02)
    drawn_after(0.01)  # as they were
    assert norm == pytest.approx((ahead - behind) / 0.02, rel=0.02)
