"""Both families behind one interface, against diffusers' own pipelines."""

import json
import shutil
import time

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.loaders.single_file_utils import CHECKPOINT_KEY_NAMES
from huggingface_hub.errors import LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import save_file

from bolid.conditions import FaceCondition
from bolid.core.errors import BolidError
from bolid.core.safe_io import sha256
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.models.backbones.files import WANTED, variant_of, variants, weights_of
from tests import miniature
from tests.models.single_file import save_single_file


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


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_folder_of_half_precision_alone_is_loaded_as_what_it_is(tmp_path, family):
    save, kind = {"sd": (miniature.save_sd, StableDiffusion), "sdxl": (miniature.save_sdxl, StableDiffusionXL)}[family]
    plain = kind(str(save(tmp_path / "plain")))
    pipe = plain.pipeline_class.from_pretrained(tmp_path / "plain", dtype=torch.float16, **plain.pipeline_arguments)
    pipe.save_pretrained(tmp_path / "half", variant="fp16")
    assert variant_of(tmp_path / "plain") is None
    assert variant_of(tmp_path / "half") == "fp16"
    assert all(variants == {"fp16"} for variants in weights_of(tmp_path / "half").values())
    half = kind(str(tmp_path / "half"))
    assert half.unet.dtype == half.text_encoder.dtype == torch.float32
    for ours, theirs in zip(half.unet.parameters(), plain.unet.parameters(), strict=True):
        assert torch.equal(ours, theirs.half().float())
    assert half.text_model != plain.text_model


def test_plain_weights_are_preferred_and_a_part_in_half_precision_is_found(tmp_path):
    folder = miniature.save_sd(tmp_path / "sd")
    for name in ("unet/diffusion_pytorch_model", "text_encoder/model"):
        shutil.copy(folder / f"{name}.safetensors", folder / f"{name}.fp16.safetensors")
    assert variant_of(folder) is None
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    assert variant_of(folder) == "fp16"
    StableDiffusion(str(folder))


def test_variants_of_split_weights_are_recognised(tmp_path):
    names = ("model.fp16-00001-of-00002", "model-00002-of-00002.fp16", "diffusion_pytorch_model-00001-of-00002")
    for number, name in enumerate(names):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / f"{name}.safetensors").touch()
    assert weights_of(tmp_path) == {"0": {"fp16"}, "1": {"fp16"}, "2": {""}}


def test_of_a_hub_without_plain_weights_half_precision_is_fetched(tmp_path, monkeypatch):
    plain = StableDiffusion(str(miniature.save_sd(tmp_path / "plain")))
    plain.pipeline.save_pretrained(tmp_path / "half", variant="fp16")
    fetched = []

    def download(path, allow_patterns, **options):
        fetched.append(allow_patterns)
        names = [f.relative_to(tmp_path / "half").as_posix() for f in (tmp_path / "half").rglob("*") if f.is_file()]
        for name in filter_repo_objects(names, allow_patterns=allow_patterns):
            (tmp_path / "hub" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "half" / name, tmp_path / "hub" / name)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    StableDiffusion("org/name")
    assert fetched == [WANTED, WANTED + variants("fp16")]


@pytest.mark.parametrize("parts", [["feature_extractor"], ["safety_checker", "feature_extractor"], ["image_encoder"]])
def test_a_folder_may_lack_what_only_looks_at_images(tmp_path, parts):
    folder = miniature.save_sd(tmp_path / "sd")
    index = json.loads((folder / "model_index.json").read_text())
    kinds = {
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPModel"],
    }
    kinds["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index | {part: kinds[part] for part in parts}))
    found = StableDiffusion(str(folder)).pipeline  # as SD 1.5's folder names them, without their files
    assert all(getattr(found, part) is None for part in parts)


def test_pickled_weights_are_named_with_the_remedy(tmp_path):
    folder = miniature.save_sd(tmp_path / "sd")
    (folder / "unet/diffusion_pytorch_model.safetensors").rename(folder / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(BolidError, match=r"holds unet/diffusion_pytorch_model\.bin and no safetensors: .*convert it"):
        StableDiffusion(str(folder))
    (tmp_path / "model.ckpt").touch()
    with pytest.raises(BolidError, match=r"model\.ckpt is no \.safetensors file: pickled .* `from_single_file`"):
        StableDiffusion(str(tmp_path / "model.ckpt"))


def test_a_folder_with_a_single_file_names_it(tmp_path):
    (tmp_path / "v1-5.safetensors").touch()
    with pytest.raises(BolidError, match=r"holds no model_index\.json: give the file, such as .*v1-5\.safetensors"):
        StableDiffusion(str(tmp_path))


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("x", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
        (CHECKPOINT_KEY_NAMES["xl_base"], "stabilityai/stable-diffusion-xl-base-1.0"),
    ],
)
def test_a_single_file_without_its_familys_configuration_opens_no_connection(tmp_path, monkeypatch, key, family):
    save_file({key: torch.zeros(1)}, tmp_path / "own.safetensors")
    asked = []

    def download(name, local_files_only=False, **_):
        asked.append((name, local_files_only))
        raise LocalEntryNotFoundError("not here")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(BolidError, match=rf"hf download {family} --include .* folder of the same family at .*own$"):
        StableDiffusion(str(tmp_path / "own.safetensors"))
    assert asked == [(family, True)]


def test_a_single_file_with_its_configuration_beside_it_is_the_same_model(tmp_path, monkeypatch):
    whole = StableDiffusion(str(miniature.save_sd(tmp_path / "own")))
    save_single_file(whole, tmp_path / "own.safetensors")
    for file in (tmp_path / "own").rglob("*.safetensors"):
        file.unlink()
    monkeypatch.setattr("huggingface_hub.snapshot_download", None)  # nobody is asked
    found = StableDiffusion(str(tmp_path / "own.safetensors"))
    assert found.text_model == sha256(tmp_path / "own.safetensors")
    arguments = {"height": 48, "width": 32, "num_inference_steps": 2, "output_type": "pt"}
    ours, theirs = (
        b.pipeline("a photo", generator=torch.Generator().manual_seed(0), **arguments).images for b in (found, whole)
    )
    assert torch.equal(ours, theirs)
    assert StableDiffusion(str(tmp_path / "own.safetensors"), dtype="bfloat16").unet.dtype == torch.bfloat16


def test_a_broken_single_file_is_named(tmp_path):
    miniature.save_sd(tmp_path / "own")
    save_file({"x": torch.zeros(1)}, tmp_path / "own.safetensors")
    with pytest.raises(
        BolidError, match=r"own\.safetensors is no model of the configuration in .*own, or it is broken"
    ):
        StableDiffusion(str(tmp_path / "own.safetensors"))
