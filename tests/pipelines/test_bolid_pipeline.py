"""What the pipeline promises its callers: whose picture is whose, seeds, scales, and errors that say what to do."""

import json
import pickle
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from safetensors.torch import load_file, save_file

from bolid.conditions import BodyCondition, FaceCondition, PoseCondition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.core.safe_io import sha256
from bolid.core.trained_on import TrainedOn, was_trained_on
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion, StableDiffusionXL
from bolid.models.body_vae import body_vae_fingerprint
from bolid.pipelines.bolid import BoLIDPipeline
from tests import miniature
from tests.data.fabricate import fabricate

PROMPT = miniature.CAPTIONS[0]
BASE = '{"format": "bolid-adapter-2", "backbone": {"kind": "x", "arguments": {"path": "x"}}'
CARD = f'{BASE}, "conditions": {{}}, "identities": %s}}'
SHORT = {"num_inference_steps": 2, "height": 48, "width": 32, "output_type": "pt"}


def new_pipeline(root, family):
    body = miniature.save_body_vae(root / "body")
    save, kind = {"sd": (miniature.save_sd, StableDiffusion), "sdxl": (miniature.save_sdxl, StableDiffusionXL)}[family]
    conditions = {"face": FaceCondition(), "body": BodyCondition(str(body), num_tokens=3)}
    return installed(kind(str(save(root / family))), conditions)


def installed(backbone, conditions):
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    return BoLIDPipeline(backbone, conditions)


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def either(request, tmp_path_factory):
    return new_pipeline(tmp_path_factory.mktemp("models"), request.param)


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    return new_pipeline(tmp_path_factory.mktemp("models"), "sd")


def person(seed):
    g = torch.Generator().manual_seed(seed)
    face = torch.nn.functional.normalize(torch.randn(512, generator=g), dim=0)
    body = 3 * torch.randn(8, generator=g)
    return Identity({"face": Embedding(face, "f" * 64), "body": Embedding(body, body_model())})


@cache
def body_model():
    """Fingerprint of every `miniature.save_body_vae`."""
    with TemporaryDirectory() as folder:
        return body_vae_fingerprint(str(miniature.save_body_vae(Path(folder))))


def without(who, *names):
    return Identity({name: found for name, found in who.items() if name not in names})


ANNA, BEN = person(1), person(2)


def generate(pipe, who, guidance, **more):
    arguments = {"height": 48, "width": 32, "num_inference_steps": 2, "guidance_scale": guidance} | more
    return pipe.generate([PROMPT], pipe.embeds([who]), {"face": 1.0, "body": 1.0}, [0], **arguments)


def near(a, b):
    return torch.allclose(a, b, atol=1e-4)


def test_two_people_are_not_mixed_up(either):
    arguments = SHORT | {"num_images_per_prompt": 2, "guidance_scale": 2.0}
    drawn = either([PROMPT, miniature.CAPTIONS[1]], [ANNA, BEN], **arguments).images
    assert drawn.shape == (4, 3, *miniature.SIZE)
    alone = [
        either(miniature.CAPTIONS[i // 2], [ANNA, BEN][i // 2], guidance_scale=2.0, seed=i, **SHORT).images[0]
        for i in range(4)
    ]
    swapped = either([PROMPT, miniature.CAPTIONS[1]], [BEN, ANNA], **arguments).images
    for i in range(4):
        assert near(drawn[i], alone[i])
        assert not near(drawn[i], swapped[i])


def test_a_pipeline_that_has_drawn_can_be_sent_to_another_process(pipe):
    drawn = pipe(PROMPT, ANNA, **SHORT).images
    assert torch.equal(pickle.loads(pickle.dumps(pipe))(PROMPT, ANNA, **SHORT).images, drawn)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_pictures_noise_is_its_seeds_whatever_the_batch(pipe, guidance):
    arguments = SHORT | {"guidance_scale": guidance}
    three = pipe(PROMPT, ANNA, num_images_per_prompt=3, seed=5, **arguments).images
    assert not near(three[0], three[1])
    for number in range(3):
        assert near(pipe(PROMPT, ANNA, seed=5 + number, **arguments).images[0], three[number])
    assert torch.equal(pipe(PROMPT, ANNA, num_images_per_prompt=3, seed=5, **arguments).images, three)


def test_one_person_serves_all_prompts(pipe):
    both = pipe(miniature.CAPTIONS, ANNA, **SHORT).images
    assert torch.equal(both, pipe(miniature.CAPTIONS, [ANNA, ANNA], **SHORT).images)


def test_scales_by_name(pipe):
    def draw(scale):
        return pipe(PROMPT, ANNA, scale=scale, **SHORT).images

    assert torch.equal(draw({"face": 0.5}), draw({"face": 0.5, "body": 1.0}))
    assert torch.equal(draw(0.5), draw({"face": 0.5, "body": 0.5}))
    assert not near(draw({"face": 0.0}), draw({"body": 0.0}))
    with pytest.raises(BolidError, match="no condition is called fase; there are face, body"):
        draw({"fase": 0.0})
    assert torch.equal(draw(1.0), draw({}))  # the scales of a call do not stay


@pytest.mark.parametrize("name", ["face", "body"])
def test_what_is_not_known_of_a_person_is_as_if_its_condition_were_off(either, name):
    off = either(PROMPT, ANNA, scale={name: 0.0}, **SHORT).images
    unknown = either(PROMPT, without(ANNA, name), **SHORT).images
    assert torch.equal(unknown, off)
    assert not near(off, either(PROMPT, ANNA, **SHORT).images)


def test_a_pose_is_asked_for_with_or_without_a_person(pipe, tmp_path):
    torch.manual_seed(0)
    conditions = {"face": FaceCondition(), "pose": PoseCondition()}
    installed(StableDiffusion(pipe.backbone.path), conditions).save_pretrained(tmp_path)
    posed = BoLIDPipeline.from_pretrained(tmp_path)
    low, high = torch.rand(17, 3), torch.ones(17, 3)
    for who in (None, ANNA):
        free = posed(PROMPT, who, **SHORT).images
        assert torch.equal(posed(PROMPT, who, pose=torch.zeros(17, 3), **SHORT).images, free)
        drawn = [posed(PROMPT, who, pose=pose, **SHORT).images for pose in (low, high)]
        assert not near(drawn[0], free)
        assert not near(drawn[0], drawn[1])
        assert torch.equal(posed(PROMPT, who, pose=low, scale={"pose": 0.0}, **SHORT).images, free)
    with pytest.raises(BolidError, match="this adapter takes no pose"):
        pipe(PROMPT, ANNA, pose=low, **SHORT)
    with pytest.raises(BolidError, match="not 2 x 17 x 3"):
        posed(PROMPT, ANNA, pose=torch.zeros(2, 17, 3), **SHORT)


def test_no_identity_is_the_stock_pipeline_without_conditions(either):
    stock = type(either.backbone)(either.backbone.path).pipeline
    expected = stock(PROMPT, generator=torch.Generator().manual_seed(7), guidance_scale=2.0, **SHORT).images
    for nobody in (None, [None], Identity()):
        drawn = either(PROMPT, nobody, seed=7, guidance_scale=2.0, **SHORT).images
        assert torch.equal(torch.as_tensor(drawn), torch.as_tensor(expected))


def test_a_negative_prompt_changes_images_and_is_refused_without_guidance(pipe):
    images = [pipe(PROMPT, ANNA, n, guidance_scale=2.0, **SHORT).images for n in (None, "a red shirt")]
    assert not torch.equal(*images)
    with pytest.raises(BolidError, match=r"a negative prompt has no effect with guidance=1\.0"):
        pipe(PROMPT, ANNA, "a red shirt", guidance_scale=1.0, **SHORT)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"height": 100}, "height=100 must be a multiple of 8, such as 96 or 104"),
        ({"width": 0}, "width=0 must be a multiple of 8"),
        ({"num_inference_steps": 0}, "steps=0 must be 1 to 1000"),
        ({"num_inference_steps": 1001}, "steps=1001 must be 1 to 1000"),
        ({"guidance_scale": float("nan")}, "guidance=nan must be"),
        ({"scale": float("inf")}, "scale=inf must be a finite"),
        ({"scale": {"body": float("nan")}}, "scale=nan must be a finite"),
        ({"prompt": "a \udcff"}, "prompt: .* is no readable text"),
        ({"negative_prompt": "\ud800"}, "negative_prompt: .* is no readable text"),
        ({"seed": -1}, "seed=-1 must be 0 or more"),
    ],
)
def test_what_cannot_be_generated_is_refused(pipe, wrong, told):
    with pytest.raises(BolidError, match=told):
        pipe(**{"prompt": PROMPT, "identity": ANNA} | SHORT | wrong)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 3e38])
def test_an_embedding_of_other_numbers_is_refused(pipe, number):
    body = ANNA["body"].values.clone()
    body[3] = number
    with pytest.raises(BolidError, match="the identity's body holds numbers that are not finite or beyond"):
        pipe(PROMPT, ANNA.replace(body=Embedding(body, body_model())), **SHORT)


def test_an_embedding_of_an_unknown_network_is_refused(pipe):
    with pytest.raises(BolidError, match="does not say which network embedded its body"):
        pipe(PROMPT, ANNA.replace(body=Embedding(ANNA["body"].values, "")), **SHORT)


def test_images_that_are_no_numbers_are_refused(pipe, monkeypatch):
    monkeypatch.setattr(BoLIDPipeline, "generate", lambda *a, **k: torch.full((1, 3, 8, 8), torch.nan))
    with pytest.raises(BolidError, match="the images are not finite"):
        pipe(PROMPT, ANNA, **SHORT)


def test_guidance_drops_text_and_every_condition_as_in_the_papers(pipe, monkeypatch):
    seen, forward = [], type(pipe.backbone.unet).forward

    def watched(self, *a, added_cond_kwargs, **k):
        seen.append(added_cond_kwargs["image_embeds"])
        return forward(self, *a, added_cond_kwargs=added_cond_kwargs, **k)

    monkeypatch.setattr(type(pipe.backbone.unet), "forward", watched)
    for negative_body, sign in ((False, 0), (True, -1)):
        seen.clear()
        generate(pipe, ANNA, 3.0, negative_body=negative_body)
        face, body = seen[0]
        assert torch.equal(face[:, 0], torch.stack([0 * ANNA["face"].values, ANNA["face"].values]))
        assert torch.equal(body[:, 0], torch.stack([sign * ANNA["body"].values, ANNA["body"].values]))


def test_the_opposite_body_is_steered_away_from_only_where_asked_for(pipe):
    for who, guidance, same in ((ANNA, 3.0, False), (ANNA, 1.0, True), (without(ANNA, "body"), 3.0, True)):
        images = [generate(pipe, who, guidance, **more) for more in ({"negative_body": True}, {})]
        assert torch.equal(*images) == same
        called = pipe(PROMPT, who, guidance_scale=guidance, negative_body=True, **SHORT).images
        assert torch.equal(called, images[0])


def test_names_that_are_missing_are_zero_or_off_and_unknown_ones_refused(pipe):
    embeds, arguments = pipe.embeds([ANNA]), {"height": 48, "width": 32, "num_inference_steps": 2}
    body = pipe.generate([PROMPT], embeds, {"body": 1.0}, [0], **arguments)
    assert torch.equal(pipe.generate([PROMPT], embeds, {"body": 1.0, "face": 0.0}, [0], **arguments), body)
    given = {"body": embeds["body"]}
    assert torch.equal(pipe.generate([PROMPT], given, {"body": 1.0, "face": 1.0}, [0], **arguments), body)
    for wrong in (({"bodi": embeds["body"]}, {}), ({}, {"bodi": 1.0})):
        with pytest.raises(BolidError, match="no condition is called bodi; there are face, body"):
            pipe.generate([PROMPT], *wrong, [0], **arguments)


def test_draws_pil_pictures_of_the_size_asked_for(pipe):
    drawn = pipe(PROMPT, ANNA, **SHORT | {"height": 64, "output_type": "pil"}).images
    assert [d.size for d in drawn] == [(32, 64)]
    assert drawn[0].mode == "RGB"


@pytest.mark.parametrize(("people", "told"), [([ANNA], "1 identities for 2 prompts"), ([ANNA] * 3, "3 identities")])
def test_a_wrong_number_of_people_is_refused(pipe, people, told):
    with pytest.raises(BolidError, match=told):
        pipe(miniature.CAPTIONS, people, **SHORT)


@pytest.fixture
def saved(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_a_saved_pipeline_draws_the_same(pipe, saved):
    again = BoLIDPipeline.from_pretrained(saved)
    assert torch.equal(again(PROMPT, ANNA, **SHORT).images, pipe(PROMPT, ANNA, **SHORT).images)


def test_another_backbone_of_the_same_sizes_can_take_its_place(pipe, saved, tmp_path):
    other = miniature.save_sd(tmp_path / "other", seed=9)
    again = BoLIDPipeline.from_pretrained(saved, str(other))
    assert again.backbone.path == str(other)
    assert not near(again(PROMPT, ANNA, **SHORT).images, pipe(PROMPT, ANNA, **SHORT).images)


def test_half_precision_draws_about_the_same(pipe, saved):
    half = BoLIDPipeline.from_pretrained(saved, dtype="bfloat16")
    assert half.backbone.unet.dtype == torch.bfloat16
    drawn = half(PROMPT, ANNA, **SHORT).images.float()
    assert (drawn - pipe(PROMPT, ANNA, **SHORT).images).abs().mean() < 0.05


def test_a_folder_that_is_no_adapter_is_refused(saved, tmp_path):
    with pytest.raises(BolidError, match=r"nowhere.*adapter\.json"):
        BoLIDPipeline.from_pretrained(tmp_path / "nowhere")
    (saved / "body.safetensors").unlink()
    with pytest.raises(BolidError, match=r"body\.safetensors: no such file"):
        BoLIDPipeline.from_pretrained(saved)


def test_weights_of_other_sizes_are_refused(saved):
    weights = load_file(saved / "face.safetensors")
    save_file({k: v[..., :1].contiguous() for k, v in weights.items()}, saved / "face.safetensors")
    with pytest.raises(BolidError, match="does not fit this backbone"):
        BoLIDPipeline.from_pretrained(saved)


@pytest.mark.parametrize(
    "card",
    ["{", "[]", "3", "[" * 10_000, '{"backbone": {"family": "Flux", "path": "x"}, "branches": []}',
     CARD % '{"salt": 3, "hashes": []}', CARD % "[]",
     '{"format": "bolid-adapter-9"}', '{"format": "bolid-adapter-2", "backbone": [], "conditions": {}}',
     '{"format": "bolid-adapter-2", "backbone": {"kind": "x", "arguments": {"path": 3}}, "conditions": {}}',
     '{"format": "bolid-adapter-2", "backbone": {"kind": 3, "arguments": {"path": "x"}}, "conditions": {"../x": []}}'],
)  # fmt: skip
def test_a_card_of_something_else_is_refused(saved, card):
    (saved / "adapter.json").write_text(card)
    with pytest.raises(BolidError, match=r"adapter\.json|unknown kind of backbone 'Flux'"):
        BoLIDPipeline.from_pretrained(saved)


def test_weights_that_are_no_numbers_are_refused(saved):
    weights = load_file(saved / "body.safetensors")
    weights["image_proj.norm.weight"][0] = torch.nan
    save_file(weights, saved / "body.safetensors")
    with pytest.raises(
        BolidError, match=r"body\.safetensors: image_proj\.norm\.weight holds numbers that are not finite"
    ):
        BoLIDPipeline.from_pretrained(saved)


def test_an_adapter_works_from_any_folder_without_what_it_was_made_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pipe = new_pipeline(Path("models"), "sd")  # by relative paths
    pipe.save_pretrained("adapter")
    drawn = pipe(PROMPT, ANNA, **SHORT).images
    files = {p.relative_to("adapter").as_posix() for p in Path("adapter").rglob("*") if p.is_file()}
    encoder = {"body_encoder/config.json", "body_encoder/diffusion_pytorch_model.safetensors"}
    assert files == {"adapter.json", "face.safetensors", "body.safetensors"} | encoder
    shutil.move("adapter", "elsewhere")
    shutil.rmtree("models/body")
    Path("deep/er").mkdir(parents=True)
    monkeypatch.chdir("deep/er")
    again = BoLIDPipeline.from_pretrained("../../elsewhere")
    assert torch.equal(again(PROMPT, ANNA, **SHORT).images, drawn)
    again.save_pretrained("../../elsewhere")  # over itself
    assert torch.equal(BoLIDPipeline.from_pretrained("../../elsewhere")(PROMPT, ANNA, **SHORT).images, drawn)


def test_the_card_names_its_base_as_any_folder_finds_it(pipe, saved, monkeypatch):
    def base(path):
        monkeypatch.setattr(pipe.backbone, "path", path)
        pipe.save_pretrained(saved)
        return json.loads((saved / "adapter.json").read_text())["backbone"]["arguments"]["path"]

    monkeypatch.chdir(saved.parent)
    assert base("data/tiny/stable-diffusion") == "data/tiny/stable-diffusion"
    assert base("org/name") == "org/name"
    assert base("adapter") == str(saved)


def test_networks_outside_the_folder_are_not_read(saved):
    card = json.loads((saved / "adapter.json").read_text())
    card["conditions"]["body"]["networks"] = {"encoder": "../body"}
    (saved / "adapter.json").write_text(json.dumps(card))
    with pytest.raises(BolidError, match="leads outside"):
        BoLIDPipeline.from_pretrained(saved)


def test_an_encoder_that_is_gone_is_not_exported(tmp_path):
    pipe = new_pipeline(tmp_path / "models", "sd")
    (tmp_path / "models/body/diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(BolidError, match="no longer the body encoder that was loaded: put it back"):
        pipe.save_pretrained(tmp_path / "adapter")


def test_another_folder_of_the_same_encoder_can_be_given(pipe, saved, tmp_path):
    shutil.move(saved / "body_encoder", tmp_path / "encoder")
    with pytest.raises(BolidError, match=r"adapter\.json: body: .*body_encoder is missing"):
        BoLIDPipeline.from_pretrained(saved)
    again = BoLIDPipeline.from_pretrained(saved, encoder=str(tmp_path / "encoder"))
    assert torch.equal(again(PROMPT, ANNA, **SHORT).images, pipe(PROMPT, ANNA, **SHORT).images)
    with pytest.raises(BolidError, match="trained with"):
        BoLIDPipeline.from_pretrained(saved, encoder=str(miniature.save_body_vae(tmp_path / "other", seed=7)))


def test_a_base_model_that_is_gone_is_named_with_the_remedy(saved):
    card = json.loads((saved / "adapter.json").read_text())
    card["backbone"]["arguments"]["path"] = "nowhere"
    (saved / "adapter.json").write_text(json.dumps(card))
    with pytest.raises(BolidError, match=r"adapter\.json: no model at 'nowhere'.*`--backbone`"):
        BoLIDPipeline.from_pretrained(saved)


def test_the_card_answers_whom_it_was_trained_on_without_naming_them(pipe, saved):
    assert was_trained_on(saved, "ann") is None
    pipe.save_pretrained(saved, TrainedOn.of(["ann", "ben"]))
    assert "ann" not in (saved / "adapter.json").read_text()
    assert [was_trained_on(saved, name) for name in ("ann", "ben", "cleo", "")] == [True, True, False, False]
    again = BoLIDPipeline.from_pretrained(saved)
    again.save_pretrained(saved)  # what is known stays known
    assert was_trained_on(saved, "ben")
    more = TrainedOn.of(["cleo"], again.identities)
    assert all(name in more for name in ("ann", "ben", "cleo"))
    assert TrainedOn.of(["ann"]).hashes != TrainedOn.of(["ann"]).hashes


def test_an_unknown_kind_in_the_card_is_refused_with_the_known_ones(saved):
    card = json.loads((saved / "adapter.json").read_text())
    card["conditions"]["face"]["kind"] = "voice"
    (saved / "adapter.json").write_text(json.dumps(card))
    with pytest.raises(BolidError, match=r"unknown kind of condition 'voice'; known are body, face, image, pose"):
        BoLIDPipeline.from_pretrained(saved)


@pytest.mark.parametrize("name", ["../x", "a.b", "a/b", "", "type"])
def test_a_name_that_leads_elsewhere_is_refused(saved, name):
    card = json.loads((saved / "adapter.json").read_text())
    card["conditions"][name] = card["conditions"].pop("face")
    (saved / "adapter.json").write_text(json.dumps(card))
    with pytest.raises(BolidError, match=r"adapter\.json: .* cannot be a name"):
        BoLIDPipeline.from_pretrained(saved)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"num_tokens": "x"}, "num_tokens='x' must be a whole number of 2"),
        ({"num_tokens": -1}, "num_tokens=-1 must be"),
        ({"mult": None}, "mult=None must be"),
        ({"mult": 10**9}, "mult=1000000000 must be"),
        ({"voice": 3}, "its arguments do not fit"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(saved, arguments, told):
    change_card(saved, "face", **arguments)
    with pytest.raises(BolidError, match=rf"adapter\.json: face: .*{told}"):
        BoLIDPipeline.from_pretrained(saved)


def test_a_card_of_the_first_format_is_read(saved, pipe):
    card = json.loads((saved / "adapter.json").read_text())
    old = {
        "backbone": {"family": card["backbone"]["kind"], "path": card["backbone"]["arguments"]["path"]},
        "branches": [{"name": n, "arguments": part["arguments"]} for n, part in card["conditions"].items()],
    }
    old["branches"][1]["arguments"]["encoder"] = str(shutil.move(saved / "body_encoder", saved.parent / "encoder"))
    (saved / "adapter.json").write_text(json.dumps(old))
    again = BoLIDPipeline.from_pretrained(saved)
    assert torch.equal(again(PROMPT, ANNA, **SHORT).images, pipe(PROMPT, ANNA, **SHORT).images)


def test_the_weights_of_an_exported_adapter_are_put_into_installed_conditions(pipe, saved, tmp_path):
    torch.manual_seed(3)
    body = pipe.conditions["body"].path
    fresh = {"body": BodyCondition(body, num_tokens=3), "face": FaceCondition()}  # in another order
    other = installed(StableDiffusion(pipe.backbone.path), fresh)
    assert not near(other(PROMPT, ANNA, **SHORT).images, pipe(PROMPT, ANNA, **SHORT).images)
    other.load_weights(saved)
    assert near(other(PROMPT, ANNA, **SHORT).images, pipe(PROMPT, ANNA, **SHORT).images)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda body: {"face": FaceCondition()}, "holds the conditions face, body, and here are face"),
        (
            lambda body: {"face": FaceCondition(), "body": PoseCondition()},
            "body is of kind body, and here of kind pose",
        ),
        (lambda body: {"face": FaceCondition(fingerprint="f" * 64), "body": BodyCondition(body)}, "does not fit"),
    ],
)
def test_other_conditions_do_not_take_an_adapters_weights(pipe, saved, wrong, told):
    other = installed(StableDiffusion(pipe.backbone.path), wrong(pipe.conditions["body"].path))
    with pytest.raises(BolidError, match=told):
        other.load_weights(saved)


def test_an_adapter_of_another_encoder_is_not_taken(pipe, saved, tmp_path):
    body = BodyCondition(str(miniature.save_body_vae(tmp_path / "other", seed=7)), num_tokens=3)
    other = installed(StableDiffusion(pipe.backbone.path), {"face": FaceCondition(), "body": body})
    with pytest.raises(BolidError, match="is not the network that the body condition was trained with"):
        other.load_weights(saved)


def test_the_card_tells_the_networks_that_made_the_conditions(saved, tmp_path):
    weights = saved / "body_encoder/diffusion_pytorch_model.safetensors"
    assert card_of(saved)["body"]["fingerprint"] == sha256(weights)
    other = miniature.save_body_vae(tmp_path / "other", seed=7)  # of the same sizes, and still another encoder
    shutil.rmtree(saved / "body_encoder")
    shutil.copytree(other, saved / "body_encoder")
    with pytest.raises(BolidError, match=r"body_encoder is not the network that the body condition was trained with"):
        BoLIDPipeline.from_pretrained(saved)
    change_card(saved, "body", fingerprint="")  # of an older version
    BoLIDPipeline.from_pretrained(saved)


def test_a_face_is_not_read_by_another_recogniser(saved, bundle):
    face, pose = str(bundle / "face/face.onnx"), str(bundle / "pose")
    photo = fabricate(bundle.parent / "photos", {"test": 1})[0].file_name

    def read(fingerprint):
        change_card(saved, "face", fingerprint=fingerprint)
        return BoLIDPipeline.from_pretrained(saved).identity(bundle.parent / "photos" / photo, pose, face)

    with pytest.raises(BolidError, match=r"face\.onnx is not the network that the face condition was trained with"):
        read("0123456789abcdef")
    for fits in (sha256(face), ""):
        with pytest.raises(BolidError, match="no person found"):  # by an untrained pose network, after the check
            read(fits)


def card_of(folder):
    conditions = json.loads((folder / "adapter.json").read_text())["conditions"]
    return {name: part["arguments"] for name, part in conditions.items()}


def change_card(folder, name, **arguments):
    card = json.loads((folder / "adapter.json").read_text())
    card["conditions"][name]["arguments"] |= arguments
    (folder / "adapter.json").write_text(json.dumps(card))
