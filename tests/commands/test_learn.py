"""The text prior and directions on the command line: learned from a folder, used, refused for other networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from bolid.conditions import BodyCondition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.core.identity_file import IdentityFolder
from bolid.core.safe_io import sha256
from bolid.data.manifest import write_manifest
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion
from bolid.models.body_prior import load_body_prior
from bolid.pipelines.bolid import BoLIDPipeline
from tests.data.fabricate import fabricate

HOME = IdentityFolder(Path("data/identities"))
SHORT = ["--steps", 2, "--size", 48, 32]


@pytest.fixture
def prior(run, tmp_path):
    fabricate(tmp_path / "photos", {"train": 8, "test": 2}, photos=4)
    status, out, _ = run("identity", "prior", "--folder", "photos", "--out", "prior")
    assert (status, out) == (0, "prior: a prior over 8 numbers, of 32 captions\n")
    return tmp_path / "prior"


@pytest.fixture
def adapter(bundle, tmp_path):
    backbone, body = StableDiffusion(str(bundle / "stable-diffusion")), BodyCondition(str(bundle / "body_vae"))
    install_conditions(backbone.unet, [body.projector(backbone.text_dim)])
    pipe = BoLIDPipeline(backbone, {"body": body})
    pipe.save_pretrained(tmp_path / "adapter")
    return pipe


def test_it_knows_what_it_was_fitted_with(prior, bundle):
    found = load_body_prior(str(prior))
    assert found.config.body_model == sha256(bundle / "body_vae/diffusion_pytorch_model.safetensors")
    assert found.config.text_model == StableDiffusion(str(bundle / "stable-diffusion")).text_model


def test_every_picture_has_a_body_of_its_own(prior, adapter, run):
    status, out, _ = run(
        "generate", "a photo of a woman", "--adapter", "adapter", "--prior", prior, "--count", 2, *SHORT
    )
    assert (status, out) == (0, "2 images of no identity in pictures\n")
    people = adapter.imagine("a photo of a woman", str(prior), (0, 1))
    assert not torch.equal(people[0]["body"].values, people[1]["body"].values)
    drawn = adapter("a photo of a woman", people[1], None, 48, 32, 2, seed=1).images[0]
    np.testing.assert_array_equal(np.asarray(Image.open("pictures/1.png")), np.asarray(drawn))


def test_at_temperature_0_every_picture_has_the_likeliest_body(prior, adapter, run):
    words = ["generate", "a photo of a woman", "--adapter", "adapter", "--prior", prior, "--count", 2, *SHORT]
    run(*words, "--temperature", 0)
    people = adapter.imagine("a photo of a woman", str(prior), (0, 1), temperature=0.0)
    assert torch.equal(people[0]["body"].values, people[1]["body"].values)
    drawn = adapter("a photo of a woman", people[1], None, 48, 32, 2, seed=1).images[0]
    np.testing.assert_array_equal(np.asarray(Image.open("pictures/1.png")), np.asarray(drawn))


def test_it_is_refused_beside_an_identity_and_for_another_encoder(prior, adapter, run, tmp_path):
    words = ["generate", "a photo", "--adapter", "adapter", "--prior", prior]
    assert "either an identity or a prior" in run(*words, "--identity", "ann")[2]
    assert "temperature=-1.0 must be 0 or more" in run(*words, "--temperature", -1)[2]
    assert "that of a prior's bodies" in run("generate", "a photo", "--adapter", "adapter", "--temperature", 0.5)[2]
    config = (prior / "config.json").read_text()
    fingerprint = load_body_prior(str(prior)).config.body_model
    (prior / "config.json").write_text(config.replace(fingerprint, "c" * 64))
    assert "prior was fitted with another body_model (cccccccc" in run(*words)[2]


def test_an_adapter_without_a_body_condition_imagines_nobody(prior, bundle):
    pipe = BoLIDPipeline(StableDiffusion(str(bundle / "stable-diffusion")), {})
    with pytest.raises(BolidError, match="no body condition, so an imagined body would not show"):
        pipe.imagine("a photo", str(prior))


@pytest.mark.parametrize("verb", ["prior", "directions"])
def test_a_device_that_is_not_there_is_named_first(run, verb):
    assert "device='cuda:9' cannot be used" in run("identity", verb, "--folder", "none", "--device", "cuda:9")[2]


def test_too_few_photos_are_one_clear_line(run, tmp_path):
    fabricate(tmp_path / "few", {"train": 2, "test": 1})
    status, _, err = run("identity", "prior", "--folder", "few")
    assert status == 1
    assert err.splitlines()[-1] == "bolid: 6 captions are too few for a prior over 8 numbers"


def test_a_person_is_moved_along_a_proportion(run, tmp_path):
    records = fabricate(tmp_path / "photos", {"train": 24, "test": 1}, photos=3)
    know_proportions(tmp_path / "photos", records)
    status, out, _ = run("identity", "directions", "--folder", "photos")
    assert status == 0
    assert out.startswith("data/directions.safetensors: waist, hip, shoulder, torso, leg, arm, build, which explain ")
    assert out.endswith("% of c_body's variance over 24 people\n")
    assert run("identity", "create", "--name", "ann", "--folder", "photos", "--person", records[0].identity)[0] == 0
    words = ["identity", "move", "--name", "heavy", "--start", "ann", "--direction"]
    assert run(*words, "build", "--strength", -1.5)[0] == 0
    ann, moved = (HOME.load(name) for name in ("ann", "heavy"))
    directions = load_file("data/directions.safetensors")
    torch.testing.assert_close(moved["body"].values, ann["body"].values - 1.5 * directions["build"])
    assert torch.equal(moved["face"].values, ann["face"].values)
    assert "no direction is called nose; there are arm, build, hip" in run(*words, "nose")[2]
    assert "heavy.safetensors exists" in run(*words, "build")[2]
    HOME.save("faces", Identity({"face": ann["face"]}))
    assert "faces has no body to move" in run(*words[:3], "x", "--start", "faces", "--direction", "leg")[2]
    HOME.save("other", Identity({"body": Embedding(ann["body"].values, "c" * 64)}))
    assert "another body encoder" in run(*words[:3], "x", "--start", "other", "--direction", "leg")[2]


def test_photos_of_unknown_proportions_have_no_directions(run, tmp_path):
    fabricate(tmp_path / "photos", {"train": 2, "test": 1})
    assert "lacks the proportions of some people" in run("identity", "directions", "--folder", "photos")[2]


def test_proportions_may_have_other_names(run, tmp_path):
    know_proportions(tmp_path / "photos", fabricate(tmp_path / "photos", {"train": 24, "test": 1}, photos=3), count=2)
    words = ["identity", "directions", "--folder", "photos"]
    assert "7 names (waist, hip, shoulder, torso, leg, arm, build) for 2 proportions" in run(*words)[2]
    assert run(*words, "--names", "height", "weight")[0] == 0
    assert load_file("data/directions.safetensors").keys() == {"height", "weight"}


def know_proportions(folder, records, count=7):
    """Writes the manifest anew, with proportions of every person."""
    known = {r.identity: np.random.default_rng(k).normal(size=count) for k, r in enumerate(records)}
    write_manifest(folder, [replace(r, proportions=known[r.identity].astype(np.float32)) for r in records])
