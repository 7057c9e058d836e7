"""Methods on random miniatures: what each generates, of whom, by which noise, and what it refuses."""

from zlib import crc32

import pytest
import torch
from diffusers import AutoencoderKL

from bolid.conditions import BodyCondition, PoseCondition
from bolid.core.errors import BolidError
from bolid.methods import Adapter, Prior, Reconstruction, Sampling, ShuffledIdentity, TextOnly
from bolid.methods.controls import other_people
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion
from bolid.models.body_prior import fit_body_prior
from bolid.pipelines.bolid import BoLIDPipeline
from tests import miniature
from tests.tasks.adapters import conditions, save_models

SEEDS = [5, 6, 7, 8]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def pipeline(folders):
    torch.manual_seed(0)
    return built(folders, conditions(folders))


def built(folders, installed):
    backbone = StableDiffusion(str(folders["sd"]))
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in installed.values()])
    return BoLIDPipeline(backbone, installed)


def images(method, pipeline, batch, **sampling):
    method.prepare(pipeline, Sampling(**({"steps": 2, "guidance_scale": 2.0} | sampling)))
    return method.generate(batch.captions, method.subjects(batch), SEEDS[: len(batch)], miniature.SIZE)


def test_an_adapter_generates_what_its_pipeline_does(pipeline):
    b = miniature.batch()
    embeds = {name: condition.embed(b.references) for name, condition in pipeline.conditions.items()}
    stock = {"num_inference_steps": 2, "guidance_scale": 2.0, "height": 48, "width": 32}
    for method, scales, rule in (
        (Adapter(["face", "body"]), {"face": 1.0, "body": 1.0}, False),
        (Adapter(["body"], 0.5, negative_body=True), {"body": 0.5}, True),
        (TextOnly(), {}, False),
    ):
        expected = pipeline.generate(b.captions, embeds, scales, SEEDS, negative_body=rule, **stock)
        torch.testing.assert_close(images(method, pipeline, b), expected, atol=1e-5, rtol=0)


def test_methods_share_their_noise(pipeline):
    b = miniature.batch()
    text, body = images(TextOnly(), pipeline, b), images(Adapter(["body"]), pipeline, b)
    assert torch.equal(text, images(TextOnly(), pipeline, b))
    assert torch.equal(images(Adapter(["body"], scale=0.0), pipeline, b), text)
    assert not torch.equal(body, text)
    assert not torch.equal(images(Adapter(["body"], scale=0.5), pipeline, b), body)
    assert not torch.equal(images(Adapter(["body"], negative_body=True), pipeline, b), body)


def test_conditions_that_are_misspelt_or_named_twice_or_not_at_all_are_refused(pipeline):
    with pytest.raises(BolidError, match="no condition is called bdoy; there are face, body"):
        Adapter(["bdoy"]).prepare(pipeline, Sampling())
    for wrong in ([], ["face", "face"]):
        with pytest.raises(BolidError, match="must name at least one, each once"):
            Adapter(wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"images_per_prompt": 0}])
def test_sampling_of_nothing_is_refused(wrong):
    with pytest.raises(BolidError, match="must be 1 or more"):
        Sampling(**wrong)


def test_a_reconstruction_shows_the_photos_as_the_autoencoder_keeps_them(folders, pipeline):
    b = miniature.batch()
    vae = AutoencoderKL.from_pretrained(folders["sd"] / "vae").eval()
    with torch.no_grad():
        expected = (vae.decode(vae.encode(b.pictures).latent_dist.mode()).sample / 2 + 0.5).clamp(0, 1)
    found = images(Reconstruction(), pipeline, b)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    b.captions = ["something else"] * 4
    assert torch.equal(images(Reconstruction(), pipeline, b), found)


def test_another_person_is_of_the_same_gender_where_that_is_known():
    b = miniature.batch(4)
    b.full_captions = ["a photo of somebody"] * 4  # no caption is read
    b.full_asked = [{"gender": g} for g in ("man", "woman", "man", "woman")]
    assert other_people(b) == [2, 3, 0, 1]
    b.full_asked = [{}] * 4
    assert other_people(b) == [1, 2, 3, 0]
    b.full_asked = [{"gender": g} for g in ("man", "woman", "man", "woman")]
    b.identities = ["a", "b", "a", "b"]
    assert other_people(b) == [1, 2, 3, 0]


def test_a_shuffled_identity_takes_another_persons_references_and_the_prompts_pose(folders):
    torch.manual_seed(0)
    pipe = built(folders, {"body": BodyCondition(str(folders["body"]), num_tokens=3), "pose": PoseCondition()})
    b, of = miniature.batch(), Adapter(["body", "pose"])
    shuffled = ShuffledIdentity(of)
    shuffled.prepare(pipe, Sampling(2))
    own, others = of.subjects(b), shuffled.subjects(b)
    for row, other in enumerate(other_people(b)):
        torch.testing.assert_close(others[row]["body"], own[other]["body"], atol=1e-5, rtol=0)
        assert torch.equal(others[row]["pose"], own[row]["pose"])
        assert not torch.allclose(others[row]["body"], own[row]["body"])


def one(identity, seed):
    b = miniature.batch(1, seed=seed)
    b.identities = [identity]
    return b


def test_a_batch_of_one_person_takes_the_person_before_it_and_the_first_the_next(pipeline):
    shuffled = ShuffledIdentity(Adapter(["face"]))
    shuffled.prepare(pipeline, Sampling(2))
    samples = [one("a", 0), one("a", 1), one("b", 2), one("b", 3)]
    shuffled.begin(samples)
    faces = [Adapter.enroll(shuffled.of, s.references)[0]["face"] for s in samples]
    found = [shuffled.subjects(s)[0]["face"] for s in samples]
    for ours, theirs in zip(found, (faces[2], faces[2], faces[1], faces[1]), strict=True):
        assert torch.equal(ours, theirs)


def test_one_person_alone_is_refused_before_anything_is_generated(pipeline):
    shuffled = ShuffledIdentity(Adapter(["face"]))
    shuffled.prepare(pipeline, Sampling(2))
    for samples, who in (([one("anna", 0), one("anna", 1)], "anna"), ([], "none")):
        with pytest.raises(BolidError, match=f"needs two people, and the test has only {who}: add people .* to null"):
            shuffled.begin(samples)


def test_a_prior_imagines_bodies_of_full_captions_that_the_prompt_does_not_mention(pipeline, tmp_path):
    b = miniature.batch()
    b.full_captions = [f"{caption}, heavy" for caption in b.captions]
    torch.manual_seed(0)
    prior = fit_body_prior(torch.randn(40, 8), torch.randn(40, pipeline.backbone.text_dim), [str(k) for k in range(40)])
    prior.save_pretrained(tmp_path)
    found = images(Prior(tmp_path, temperature=0.5, scale=0.75), pipeline, b)
    codes = [
        prior.sample(pipeline.backbone.text_features([caption]), torch.Generator().manual_seed(seed), 0.5)[0]
        for caption, seed in zip(b.full_captions, SEEDS, strict=True)
    ]
    stock = {"num_inference_steps": 2, "guidance_scale": 2.0, "height": 48, "width": 32}
    expected = pipeline.generate(b.captions, {"body": torch.stack(codes)}, {"body": 0.75}, SEEDS, **stock)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_a_prior_that_is_missing_or_has_no_body_to_imagine_is_refused_before_a_test(folders, pipeline, tmp_path):
    lost = Prior(tmp_path / "nowhere")
    lost.prepare(pipeline, Sampling())
    with pytest.raises(BolidError, match="nowhere"):
        lost.begin([])
    with pytest.raises(BolidError, match="no body condition"):
        Prior(tmp_path).prepare(built(folders, {"pose": PoseCondition()}), Sampling())


def test_seeds_are_per_image_whatever_the_batch(pipeline):
    b, method = miniature.batch(), Adapter(["face"])
    whole = images(method, pipeline, b)
    alone = method.generate(b.captions[2:3], method.subjects(b[2:3]), SEEDS[2:3], miniature.SIZE)
    torch.testing.assert_close(alone, whole[2:3], atol=1e-4, rtol=0)
    assert crc32(b"x") != crc32(b"x+")
