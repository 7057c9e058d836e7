"""x_gen against the stock pipeline, and where its gradient goes."""

import pytest
import torch

from bolid.conditions import FaceCondition
from bolid.core.errors import BolidError
from bolid.losses.x_gen import Denoising, FewStep, OneStep
from bolid.models.attention import install_conditions
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
    face = FaceCondition()
    install_conditions(backbone.unet, [face.projector(backbone.text_dim)])
    return BoLIDPipeline(backbone, {"face": face})


def denoising(backbone, timesteps, complete=None, scorable=None):
    batch = miniature.batch(count=len(timesteps))
    latents = backbone.encode_pictures(batch.pictures)
    noisy = backbone.noise_scheduler.add_noise(latents, torch.randn_like(latents), torch.tensor(timesteps))
    text, embeds = backbone.encode_prompt(batch.captions), [batch.references.faces[:, :1]]
    predicted = backbone.predict(noisy, torch.tensor(timesteps), text, embeds, batch.time_ids)
    complete = torch.ones(len(timesteps), dtype=torch.bool) if complete is None else torch.tensor(complete)
    scorable = torch.tensor(scorable or [1] * len(timesteps))
    opposites = [torch.flip(e, [0]) for e in embeds]  # another person, for want of an opposite
    times = torch.tensor(timesteps)
    return Denoising(noisy, times, predicted, scorable, complete, text, embeds, opposites, batch.time_ids, batch.groups)


def test_one_step_takes_complete_samples_with_little_noise(pipe):
    state = denoising(pipe.backbone, [10, 900, 400, 20], [True, True, True, False])
    made = OneStep(500)(pipe.backbone, state, torch.Generator())
    assert made.rows.tolist() == [0, 2]
    assert made.images.shape == (2, 3, *miniature.SIZE)
    assert OneStep(500, max_samples=1)(pipe.backbone, state, torch.Generator()).rows.tolist() == [0]
    assert OneStep(5)(pipe.backbone, state, torch.Generator()).images.shape == (0, 3, *miniature.SIZE)


@pytest.mark.parametrize("estimator", [OneStep, FewStep])
def test_what_most_losses_can_score_comes_first(pipe, estimator):
    state = denoising(pipe.backbone, [10, 400, 400, 20], scorable=[1, 2, 0, 2])
    for most, rows in ((None, [0, 1, 2, 3]), (3, [0, 1, 3]), (2, [1, 3]), (1, [1])):
        assert estimator(max_samples=most)(pipe.backbone, state, torch.Generator()).rows.tolist() == rows


@pytest.mark.parametrize("estimator", [OneStep, FewStep])
def test_groups_are_generated_whole_or_not_at_all(pipe, estimator):
    state = denoising(pipe.backbone, [10, 400, 400, 20])._replace(groups=torch.tensor([7, 7, 3, 3]))
    for most, rows in ((4, [0, 1, 2, 3]), (3, [0, 1]), (2, [0, 1])):
        assert estimator(max_samples=most)(pipe.backbone, state, torch.Generator()).rows.tolist() == rows
    with pytest.raises(BolidError, match="max_samples=1 is less than a group"):
        estimator(max_samples=1)(pipe.backbone, state, torch.Generator())


@pytest.mark.parametrize(("guidance", "negative_body"), [(1.0, False), (3.0, False), (3.0, True)])
def test_few_step_generates_what_the_stock_pipeline_does(pipe, guidance, negative_body):
    state = denoising(pipe.backbone, [10, 900])
    noise = torch.randn(state.noisy.shape, generator=torch.Generator().manual_seed(3))
    estimator = FewStep(steps=3, guidance_scale=guidance, negative_body=negative_body)
    with torch.no_grad():
        made = estimator(pipe.backbone, state, torch.Generator().manual_seed(3))
    away = [e if negative_body else torch.zeros_like(e) for e in state.opposites]
    embeds = [torch.cat(pair) if guidance > 1 else pair[1] for pair in zip(away, state.embeds, strict=True)]
    stock = pipe.backbone.pipeline(
        miniature.batch(count=2).captions, num_inference_steps=3, guidance_scale=guidance, latents=noise,
        output_type="pt", ip_adapter_image_embeds=embeds, height=miniature.SIZE[0], width=miniature.SIZE[1],
    ).images  # fmt: skip
    torch.testing.assert_close(made.images, stock, atol=2e-4, rtol=0)
    assert made.rows.tolist() == [0, 1]
    assert len(FewStep(steps=1, max_samples=1)(pipe.backbone, state, torch.Generator()).images) == 1


def test_few_step_begins_at_pure_noise_whatever_the_models_file_says(pipe, monkeypatch):
    asked, predict, keep = [], pipe.backbone.predict, pipe.backbone.pipeline.scheduler
    monkeypatch.setattr(pipe.backbone, "predict", lambda z, t, *a: asked.append(int(t)) or predict(z, t, *a))
    file = keep.from_config(keep.config, timestep_spacing="leading", steps_offset=1, set_alpha_to_one=False)
    monkeypatch.setattr(pipe.backbone.pipeline, "scheduler", file)
    state = denoising(pipe.backbone, [10])
    asked.clear()
    FewStep(steps=4)(pipe.backbone, state, torch.Generator())
    assert asked == [999, 749, 499, 249]


def test_a_group_is_generated_from_the_same_noise_whoever_is_left_out(pipe):
    state = denoising(pipe.backbone, [10] * 4, scorable=[1, 2, 0, 2])
    alone = [e[:1].expand(4, -1, -1) for e in state.embeds]  # the same person, caption and size
    text = state.text.take(torch.tensor([0, 0, 0, 0]))
    state = state._replace(text=text, embeds=alone, opposites=alone, time_ids=state.time_ids[:1].expand(4, -1))

    def made(groups, most):
        together = state._replace(groups=torch.tensor(groups))
        found = FewStep(2, max_samples=most)(pipe.backbone, together, torch.Generator().manual_seed(0))
        apart = (found.images[:, None] - found.images).abs().amax((2, 3, 4))
        numbers = torch.tensor(groups)[found.rows]
        assert torch.equal(apart < 1e-3, numbers[:, None] == numbers)
        return dict(zip(found.rows.tolist(), found.images, strict=True))

    pairs, three = made([8, 3, 8, 3], None), made([8, 3, 8, 3], 3)
    made([0, 1, 2, 3], None)
    assert three.keys() == {0, 1, 3}
    torch.testing.assert_close(three[0], pairs[2])


@pytest.mark.parametrize("estimator", [OneStep(), FewStep(2, 1), FewStep(2, 2), FewStep(2, 2, recompute=True)])
def test_gradients_reach_the_branches_and_nothing_else(pipe, estimator):
    pipe.backbone.zero_grad()
    state = denoising(pipe.backbone, [10, 400])
    estimator(pipe.backbone, state, torch.Generator().manual_seed(0)).images.square().mean().backward()
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
        made.images.square().mean().backward()
        gradients.append([p.grad.clone() for p in pipe.backbone.parameters() if p.grad is not None])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_more_of_the_last_steps_give_another_gradient(pipe):
    norms = []
    for grad_steps in (1, 3):
        pipe.backbone.zero_grad()
        made = FewStep(3, grad_steps)(pipe.backbone, denoising(pipe.backbone, [10]), torch.Generator().manual_seed(0))
        made.images.square().mean().backward()
        norms.append(sum(p.grad.norm().item() for p in pipe.backbone.parameters() if p.grad is not None))
    assert norms[0] != pytest.approx(norms[1], rel=1e-3)


def test_the_gradient_of_a_guided_drawing_is_the_slope_of_what_it_draws(pipe):
    """Through what guidance steers away from, too: central differences of the weights along the gradient."""
    state = denoising(pipe.backbone, [10, 400])
    branch = [p for n, p in pipe.backbone.named_parameters() if "_v_ip" in n]
    estimator = FewStep(2, 2, guidance_scale=3.0, negative_body=True)

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


def test_numbers_below_one_are_refused():
    for make in (lambda: FewStep(steps=0), lambda: FewStep(grad_steps=0), lambda: OneStep(max_samples=0)):
        with pytest.raises(BolidError, match="must be 1 or more"):
            make()
