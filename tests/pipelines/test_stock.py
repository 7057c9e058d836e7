"""What users of diffusers expect of a pipeline, compared with the stock pipeline over the same networks."""

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler
from PIL import Image

import bolid
from bolid.conditions import FaceCondition
from bolid.core.errors import BolidError
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion
from bolid.pipelines import BoLIDPipeline
from tests import miniature

PROMPT = miniature.CAPTIONS[0]
SHORT = {"num_inference_steps": 2, "height": 48, "width": 32, "guidance_scale": 2.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return miniature.save_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture
def pipe(folder):
    torch.manual_seed(0)
    backbone, conditions = StableDiffusion(str(folder)), {"face": FaceCondition()}
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    return BoLIDPipeline(backbone, conditions)


def seeded(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_every_type_of_output_shows_the_same_image(pipe):
    made = {kind: pipe(PROMPT, output_type=kind, **SHORT).images for kind in ("pil", "np", "pt", "latent")}
    assert made["pt"].shape == (1, 3, 48, 32)
    np.testing.assert_array_equal(made["np"], made["pt"].movedim(1, -1).numpy())
    np.testing.assert_array_equal(np.asarray(made["pil"][0]), (made["np"][0] * 255).round().astype(np.uint8))
    decoded = pipe.backbone.decode_latents(made["latent"] * 1.0)  # latents are scaled, as the stock pipeline's
    torch.testing.assert_close((decoded / 2 + 0.5).clamp(0, 1), made["pt"], atol=1e-4, rtol=0)
    with pytest.raises(BolidError, match="output_type='pill' is none of pil, np, pt, latent"):
        pipe(PROMPT, output_type="pill", **SHORT)


def test_generators_and_latents_take_the_seeds_place(pipe):
    arguments = SHORT | {"output_type": "pt"}
    seeds = pipe([PROMPT] * 2, seed=3, **arguments).images
    torch.testing.assert_close(pipe([PROMPT] * 2, generator=seeded(3, 4), **arguments).images, seeds)
    stock = pipe.stock(
        [PROMPT] * 2, ip_adapter_image_embeds=[torch.zeros(4, 1, 512)], generator=torch.Generator().manual_seed(5),
        **arguments,
    ).images  # fmt: skip
    torch.testing.assert_close(
        pipe([PROMPT] * 2, generator=torch.Generator().manual_seed(5), **arguments).images, stock
    )
    shape = (1, *pipe(PROMPT, **(arguments | {"output_type": "latent"})).images.shape[1:])
    latents = torch.randn(shape, generator=seeded(0)[0])
    given = pipe(PROMPT, latents=latents, **arguments).images
    torch.testing.assert_close(given, pipe(PROMPT, seed=9, latents=latents.clone(), **arguments).images)
    assert not torch.allclose(given, pipe(PROMPT, latents=-latents, **arguments).images, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"generator": seeded(1)}, "1 generators for 2 images"),
        ({"latents": torch.zeros(1, 4, 6, 4)}, "latents are 2 x 4 x height x width here, not 1 x 4 x 6 x 4"),
        ({"negative_prompt": ["blurry"]}, "1 negative prompts for 2 prompts"),
        ({"num_images_per_prompt": 0}, "nothing to generate"),
    ],
)
def test_inputs_of_another_number_are_refused(pipe, wrong, message):
    with pytest.raises(BolidError, match=message):
        pipe([PROMPT] * 2, **(SHORT | wrong))


def test_a_negative_prompt_may_be_another_for_every_prompt(pipe):
    arguments = SHORT | {"output_type": "pt"}
    listed = pipe([PROMPT] * 2, negative_prompt=["blurry", "a wall"], seed=0, **arguments).images
    torch.testing.assert_close(listed[:1], pipe(PROMPT, negative_prompt="blurry", seed=0, **arguments).images)
    torch.testing.assert_close(listed[1:], pipe(PROMPT, negative_prompt="a wall", seed=1, **arguments).images)


def test_a_callback_sees_every_step_and_may_change_its_tensors(pipe):
    seen = []

    def silence(stock, step, timestep, tensors):
        seen.append((step, int(timestep)))
        return {"latents": torch.zeros_like(tensors["latents"])}

    changed = pipe(PROMPT, callback_on_step_end=silence, output_type="latent", **SHORT).images
    assert [step for step, _ in seen] == [0, 1]
    assert seen[0][1] > seen[1][1]
    assert not changed.any()


def test_a_tuple_is_returned_if_asked_for(pipe):
    (images,) = pipe(PROMPT, return_dict=False, **SHORT)
    assert isinstance(images[0], Image.Image)


def test_components_scheduler_device_and_precision_are_those_of_the_networks(pipe):
    assert pipe.components["unet"] is pipe.unet is pipe.backbone.unet
    assert pipe.components["face"] is pipe.conditions["face"]
    assert (pipe.device, pipe.dtype) == (torch.device("cpu"), torch.float32)
    before = pipe(PROMPT, output_type="pt", **SHORT).images
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    assert isinstance(pipe.stock.scheduler, EulerAncestralDiscreteScheduler)
    assert not torch.allclose(pipe(PROMPT, output_type="pt", **SHORT).images, before, atol=1e-3)
    with pytest.raises(AttributeError, match="no attribute 'unets'"):
        _ = pipe.unets


def test_a_pipeline_is_cast_and_moved_as_the_stock_one(pipe):
    full = pipe(PROMPT, output_type="pt", **SHORT).images
    assert pipe.to("cpu", torch.bfloat16) is pipe
    assert pipe.dtype == pipe.vae.dtype == torch.bfloat16
    half = pipe(PROMPT, output_type="pt", **SHORT).images
    assert (half.float() - full).abs().mean() < 0.05
    assert pipe.to(torch.float32).dtype == torch.float32


def test_tiles_of_the_vae_and_the_progress_bar_are_switched_as_in_diffusers(pipe, capfd):
    pipe.vae.enable_tiling()
    assert pipe.vae.use_tiling
    pipe.vae.disable_tiling()
    pipe.set_progress_bar_config(disable=False)
    pipe(PROMPT, **SHORT)
    assert "2/2" in capfd.readouterr().err


def test_the_package_offers_what_users_import(folder):
    assert bolid.BoLIDPipeline is BoLIDPipeline
    assert bolid.__version__[0].isdigit()
    assert {"BoLIDPipeline", "Identity", "load_identity"} <= set(dir(bolid))
    with pytest.raises(AttributeError, match="has no attribute 'Pipeline'"):
        _ = bolid.Pipeline
