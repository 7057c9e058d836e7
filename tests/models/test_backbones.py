"""Both families behind one interface, against diffusers' own pipelines."""

import json
import shutil
import time

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from huggingface_hub.utils import filter_repo_objects

from bolid.conditions import FaceCondition
from bolid.core.errors import BolidError
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.models.backbones.base import WANTED
from tests import miniature


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return StableDiffusion(str(miniature.save_sd(tmp_path_factory.mktemp("sd"))))


@pytest.fixture(scope="module")
def sdxl_folder(tmp_path_factory):
    return miniature.save_sdxl(tmp_path_factory.mktemp("sdxl"))


def recorded_unet_calls(pipe, **arguments):
    """What the stock pipeline passes to its UNet and gets back, step by step."""
    calls, forward = [], pipe.unet.forward

    def spy(*args, **kwargs):
        result = forward(*args, **kwargs)
        calls.append((args, kwargs, result[0].clone()))
        return result

    pipe.unet.forward = spy
    pipe(output_type="latent", num_inference_steps=2, **arguments)
    pipe.unet.forward = forward
    return calls


@pytest.mark.parametrize("branches", [False, True])
def test_sdxl_noise_prediction_equals_the_stock_pipelines(sdxl_folder, branches):
    backbone = StableDiffusionXL(str(sdxl_folder))
    if branches:
        install_conditions(backbone.unet, [FaceCondition().projector(backbone.text_dim)])
    stock = StableDiffusionXLPipeline.from_pretrained(sdxl_folder, dtype=torch.float32)
    for module in (stock.unet, stock.text_encoder, stock.text_encoder_2):
        module.requires_grad_(False)
    size = {
        "height": miniature.SIZE[0],
        "width": miniature.SIZE[1],
        "original_size": (90, 60),
        "crops_coords_top_left": (5, 3),
    }
    generator = torch.Generator().manual_seed(0)
    calls = recorded_unet_calls(stock, prompt=miniature.CAPTIONS, guidance_scale=1.0, generator=generator, **size)
    time_ids = torch.tensor([[90.0, 60.0, 5.0, 3.0, *miniature.SIZE]]).repeat(2, 1)
    for (noisy, timestep, *_), _, expected in calls:
        text = backbone.encode_prompt(miniature.CAPTIONS)
        embeds = [torch.zeros(2, 1, 512)] if branches else []
        with torch.no_grad():
            ours = backbone.predict(noisy, timestep, text, embeds, time_ids)
        assert torch.equal(ours, expected)


def test_text_features_ignore_padding_and_order_of_the_batch(sd):
    a, b = miniature.CAPTIONS
    both = sd.text_features([a, b])
    assert both.shape == (2, sd.text_dim)
    assert torch.allclose(both.flip(0), sd.text_features([b, a]), atol=1e-6)
    hidden = sd.encode_prompt([a]).hidden[0]
    length = len(sd.tokenizer(a).input_ids)
    assert torch.allclose(both[0], hidden[:length].mean(0), atol=1e-6)


def test_text_condition_is_chosen_row_by_row(sd):
    captions, empty = sd.encode_prompt(miniature.CAPTIONS), sd.encode_prompt([""])
    mixed = captions.where(torch.tensor([True, False]), empty)
    assert torch.equal(mixed.hidden[0], captions.hidden[0])
    assert torch.equal(mixed.hidden[1], empty.hidden[0])


@pytest.mark.parametrize("zeros", [True, False])
def test_dropped_text_is_what_stock_guidance_steers_away_from(tmp_path, sdxl_folder, zeros):
    folder = shutil.copytree(sdxl_folder, tmp_path / "sdxl")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"force_zeros_for_empty_prompt": zeros}))
    stock = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32)
    _, hidden, _, pooled = stock.encode_prompt("a photo", do_classifier_free_guidance=True)
    backbone = StableDiffusionXL(str(folder))
    nothing = backbone.encode_nothing()
    assert torch.equal(nothing.hidden, hidden)
    assert torch.equal(nothing.pooled, pooled)
    assert bool(nothing.hidden.any()) != zeros
    arguments = {"height": 48, "width": 32, "num_inference_steps": 2, "output_type": "pt"}
    ours, theirs = (
        p("a photo", generator=torch.Generator().manual_seed(0), **arguments).images for p in (backbone.pipeline, stock)
    )
    assert torch.equal(torch.as_tensor(ours), torch.as_tensor(theirs))


def test_dropped_text_of_stable_diffusion_is_the_empty_prompt(sd):
    _, hidden = sd.pipeline.encode_prompt("a photo", sd.text_encoder.device, 1, True)
    assert torch.equal(sd.encode_nothing().hidden, hidden)


def test_latents_round_trip_has_the_vaes_shape_and_scale(sd):
    pictures = torch.rand(2, 3, *miniature.SIZE) * 2 - 1
    latents = sd.encode_pictures(pictures)
    expected = sd.vae.encode(pictures).latent_dist.mode() * sd.vae.config.scaling_factor
    assert torch.equal(latents, expected)
    assert sd.decode_latents(latents).shape == pictures.shape
    assert latents.shape[-1] * sd.latent_scale == miniature.SIZE[1]


def test_decoding_keeps_its_gradient(sd):
    latents = torch.randn(1, 4, 24, 16, requires_grad=True)
    sd.decode_latents(latents).sum().backward()
    assert latents.grad.abs().sum() > 0


@pytest.mark.parametrize("path", ["no/such/folder/here", "/nowhere/at-all", "./missing", "runwayml/not-here-v9"])
def test_a_missing_model_fails_at_once_and_says_what_to_do(path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    start = time.perf_counter()
    with pytest.raises(BolidError, match=r"no model at .*(hub id|hf download)"):
        StableDiffusion(path)
    assert time.perf_counter() - start < 5


def test_a_folder_without_a_pipeline_is_refused(tmp_path):
    with pytest.raises(BolidError, match=r"model_index\.json"):
        StableDiffusion(str(tmp_path))


def test_nothing_but_the_branches_trains_even_in_train_mode(sd):
    sd.train()
    assert not any(p.requires_grad for p in sd.parameters())
    assert not sd.vae.training
    assert not sd.text_encoder.training


@pytest.mark.parametrize("member", ["unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"])
def test_a_folder_that_lacks_weights_is_named_with_the_remedy(tmp_path, member):
    (miniature.save_sd(tmp_path / "sd") / member).unlink()
    with pytest.raises(BolidError, match=r"sd lacks files of the model .*copy it anew"):
        StableDiffusion(str(tmp_path / "sd"))


def test_an_incomplete_download_is_named_with_the_remedy(tmp_path, monkeypatch):
    (miniature.save_sd(tmp_path / "sd") / "vae/diffusion_pytorch_model.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: str(tmp_path / "sd"))
    with pytest.raises(BolidError, match="complete it with `hf download org/name`"):
        StableDiffusion("org/name")


def test_of_a_hub_only_what_is_loaded_is_fetched():
    wanted = [
        "model_index.json",
        "tokenizer/merges.txt",
        "text_encoder/model.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.json",
    ]
    unwanted = [
        "sd_xl_base_1.0.safetensors",
        "v1-5-pruned.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.bin",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/flax_model.msgpack",
    ]
    assert list(filter_repo_objects(wanted + unwanted, allow_patterns=WANTED)) == wanted
