"""The text prior on the command line: fitted on a folder, drawn from, refused for other networks."""

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.core.safe_io import sha256
from bolid.models.attention import install_branches
from bolid.models.backbones import StableDiffusion
from bolid.models.body_prior import load_body_prior
from bolid.models.branches import BodyBranch
from bolid.pipelines.bolid import BoLIDPipeline
from tests.data.fabricate import fabricate

SHORT = ["--steps", 2, "--size", 48, 32]


@pytest.fixture
def prior(run, tmp_path):
    fabricate(tmp_path / "photos", {"train": 8, "test": 2}, photos=4)
    status, out, _ = run("identity", "prior", "--folder", "photos", "--out", "prior")
    assert (status, out) == (0, "prior: a prior over 8 numbers, of 32 captions\n")
    return tmp_path / "prior"


@pytest.fixture
def adapter(bundle, tmp_path):
    backbone, branch = StableDiffusion(str(bundle / "stable-diffusion")), BodyBranch(str(bundle / "body_vae"))
    install_branches(backbone.unet, [branch.projector(backbone.text_dim)])
    pipe = BoLIDPipeline(backbone, [branch])
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
    assert (status, out) == (0, "2 pictures of nobody in particular in pictures\n")
    people = [adapter.imagine("a photo of a woman", str(prior), seed) for seed in (0, 1)]
    assert not torch.equal(people[0].body, people[1].body)
    drawn = adapter("a photo of a woman", people[1], None, 48, 32, 2, seed=1).images[0]
    np.testing.assert_array_equal(np.asarray(Image.open("pictures/1.png")), np.asarray(drawn))


def test_it_is_refused_beside_an_identity_and_for_another_encoder(prior, adapter, run, tmp_path):
    words = ["generate", "a photo", "--adapter", "adapter", "--prior", prior]
    assert "either an identity or a prior" in run(*words, "--identity", "ann")[2]
    config = (prior / "config.json").read_text()
    fingerprint = load_body_prior(str(prior)).config.body_model
    (prior / "config.json").write_text(config.replace(fingerprint, "c" * 64))
    assert "prior was fitted with another body_model (cccccccc" in run(*words)[2]


def test_too_few_photos_are_one_clear_line(run, tmp_path):
    fabricate(tmp_path / "few", {"train": 2, "test": 1})
    status, _, err = run("identity", "prior", "--folder", "few")
    assert status == 1
    assert err.splitlines()[-1] == "bolid: 6 captions are too few for a prior over 8 numbers"
