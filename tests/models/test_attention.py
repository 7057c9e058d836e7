"""The exact no-op, and the round trip through stock diffusers: both conditions, bit for bit."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from bolid.conditions import BodyCondition, FaceCondition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.models.attention import adapter_weights, install_conditions, load_adapter_weights, set_scales
from bolid.models.backbones import StableDiffusion
from bolid.pipelines.bolid import BoLIDPipeline
from tests import miniature

PROMPTS = miniature.CAPTIONS
SEEDS = [3, 4]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return miniature.save_sd(root / "sd"), miniature.save_body_vae(root / "body")


@pytest.fixture
def pipeline(folders):
    torch.manual_seed(1)
    backbone = StableDiffusion(str(folders[0]))
    conditions = {"face": FaceCondition(), "body": BodyCondition(str(folders[1]), num_tokens=5)}
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    with torch.no_grad():  # away from the initialisation, where K and V equal the text's
        for name, parameter in backbone.unet.named_parameters():
            if parameter.requires_grad and "_ip" in name:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return BoLIDPipeline(backbone, conditions)


def stock(folder, guidance, rows=slice(None), **more):
    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    for step in more.pop("prepare", []):
        step(pipe)
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.requires_grad_(False)  # as ours: torch's CPU kernels differ in the last bit for weights that could learn
    generators = [torch.Generator().manual_seed(s) for s in SEEDS[rows]]
    return pipe(
        PROMPTS[rows], num_inference_steps=3, guidance_scale=guidance, generator=generators, output_type="pt", **more
    ).images


def people():
    g = torch.Generator().manual_seed(5)
    face = torch.nn.functional.normalize(torch.randn(2, 512, generator=g))
    return {"face": face, "body": torch.randn(2, 8, generator=g)}


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("way", ["zero scale", "zero embeddings"])
def test_dropped_conditions_are_the_stock_pipeline_bit_for_bit(pipeline, folders, guidance, way):
    off, embeds = way == "zero scale", people()
    ours = pipeline.generate(
        PROMPTS,
        embeds if off else {name: 0 * e for name, e in embeds.items()},
        dict.fromkeys(embeds, 0.0 if off else 1.0),
        SEEDS,
        num_inference_steps=3,
        guidance_scale=guidance,
    )
    assert torch.equal(ours, stock(folders[0], guidance))


def test_conditions_change_the_image(pipeline, folders):
    plain = stock(folders[0], 3.0)
    for scales in ({"face": 1.0}, {"body": 1.0}):
        ours = pipeline.generate(PROMPTS, people(), scales, SEEDS, num_inference_steps=3, guidance_scale=3.0)
        assert (ours - plain).abs().max() > 1e-3


@pytest.mark.parametrize("negative_body", [False, True])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("scales", [[1.0, 1.0], [0.7, 0.0], [0.0, 1.3]])
def test_stock_diffusers_draws_the_same_from_the_saved_files(
    pipeline, folders, tmp_path, scales, guidance, negative_body
):
    row = slice(1, 2)  # one person: given several, stock diffusers shows everybody's tokens to every picture
    alone = {name: e[row] for name, e in people().items()}
    face, body = alone.values()
    named = dict(zip(alone, scales, strict=True))
    arguments = {"num_inference_steps": 3, "guidance_scale": guidance, "negative_body": negative_body}
    ours = pipeline.generate(PROMPTS[row], alone, named, SEEDS[row], **arguments)
    both = pipeline.generate(PROMPTS, people(), named, SEEDS, **arguments)
    assert torch.allclose(both[row], ours, atol=1e-5)
    pipeline.save_pretrained(tmp_path)
    embeds = [e[:, None] for e in (face, body)]
    if guidance > 1:
        embeds = [torch.cat(pair)[:, None] for pair in ((0 * face, face), (-body * negative_body, body))]
    theirs = stock(
        folders[0],
        guidance,
        row,
        ip_adapter_image_embeds=embeds,
        prepare=[
            lambda p: p.load_ip_adapter(
                [str(tmp_path)] * 2,
                subfolder="",
                weight_name=["face.safetensors", "body.safetensors"],
                image_encoder_folder=None,
            ),
            lambda p: p.set_ip_adapter_scale(list(scales)),
        ],
    )
    # a product with a single row rounds differently for weights that a file's layout has put at an odd address
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def test_saved_pipeline_loads_and_draws_the_same(pipeline, tmp_path):
    person = Identity({name: Embedding(e[0], "") for name, e in people().items()})
    before = pipeline(PROMPTS[0], person, num_inference_steps=2, num_images_per_prompt=2, seed=7).images
    pipeline.save_pretrained(tmp_path)
    after = BoLIDPipeline.from_pretrained(tmp_path)(
        PROMPTS[0], person, num_inference_steps=2, num_images_per_prompt=2, seed=7
    ).images
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert not np.array_equal(before[0], before[1])


def test_saved_biases_are_zero_and_the_names_are_diffusers(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "body.safetensors")
    biases = [v for k, v in weights.items() if k.endswith("bias")]
    assert len(biases) == 3
    assert not any(b.any() for b in biases)
    layers = sum(name.endswith("attn2.processor") for name in pipeline.backbone.unet.attn_processors)
    expected = {f"ip_adapter.{2 * i + 1}.to_{kv}_ip.weight" for i in range(layers) for kv in "kv"}
    assert {k for k in weights if k.startswith("ip_adapter")} == expected


def test_only_projectors_keys_and_values_train(pipeline):
    trained = {n for n, p in pipeline.backbone.named_parameters() if p.requires_grad}
    assert trained
    assert all(
        "to_k_ip" in n or "to_v_ip" in n or ("encoder_hid_proj" in n and not n.endswith("bias")) for n in trained
    )


def test_key_and_value_start_as_the_text_keys_and_values(folders):
    backbone = StableDiffusion(str(folders[0]))
    install_conditions(backbone.unet, [FaceCondition().projector(backbone.text_dim)])
    for name, processor in backbone.unet.attn_processors.items():
        if name.endswith("attn2.processor"):
            attention = backbone.unet.get_submodule(name.removesuffix(".processor"))
            assert torch.equal(processor.to_k_ip[0].weight, attention.to_k.weight)
            assert torch.equal(processor.to_v_ip[0].weight, attention.to_v.weight)


def test_weights_of_another_shape_are_refused(pipeline):
    weights = adapter_weights(pipeline.backbone.unet, 0)
    weights["image_proj.norm.weight"] = torch.ones(3)
    with pytest.raises(BolidError, match=r"image_proj\.norm\.weight"):
        load_adapter_weights(pipeline.backbone.unet, 0, weights)


def test_scales_reach_every_layer(pipeline):
    set_scales(pipeline.backbone.unet, [0.25, 0.5])
    scales = [p.scale for n, p in pipeline.backbone.unet.attn_processors.items() if n.endswith("attn2.processor")]
    assert scales
    assert all(s == [0.25, 0.5] for s in scales)
