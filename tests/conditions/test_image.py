"""The image prompt: what it reads off references, and that it is drawn with like the others."""

import pytest
import torch

from bolid.conditions import BodyCondition
from bolid.conditions.image import ImageCondition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.models.attention import install_conditions
from bolid.models.backbones import StableDiffusion
from bolid.pipelines.bolid import BoLIDPipeline
from bolid.vision.clip import ClipModel
from tests import miniature
from tests.pipelines.test_identify import FakePose

SHORT = {"num_inference_steps": 2, "height": 48, "width": 32, "output_type": "pt"}


@pytest.fixture(scope="module")
def condition(bundle):
    return ImageCondition(str(bundle / "clip_loss"), size=miniature.SIZE)


@pytest.fixture(scope="module")
def pipe(bundle, condition):
    backbone, body = StableDiffusion(str(bundle / "stable-diffusion")), BodyCondition(str(bundle / "body_vae"))
    conditions = {"body": body, "image": condition}
    install_conditions(backbone.unet, [c.projector(backbone.text_dim) for c in conditions.values()])
    return BoLIDPipeline(backbone, conditions)


def test_it_is_the_mean_of_the_references_clip_embeddings(condition, bundle):
    batch = miniature.batch()
    clip = ClipModel(str(bundle / "clip_loss"))
    with torch.no_grad():
        first, second = (clip.encode_images(batch.references.pictures[:, k] * 0.5 + 0.5) for k in (0, 1))
    found = condition.embed(batch.references) / condition.embed_dim**0.5
    torch.testing.assert_close(found[0], (first[0] + second[0]) / 2)
    torch.testing.assert_close(found[-1], first[-1])  # whose second reference is missing
    batch.references.mask[:] = False
    assert not condition.embed(batch.references).any()


def test_a_saved_pipeline_with_it_draws_the_same(pipe, condition, tmp_path):
    pipe.save_pretrained(tmp_path)
    again = BoLIDPipeline.from_pretrained(tmp_path)
    ann = Identity({"image": Embedding(3 * torch.ones(condition.embed_dim), condition.fingerprint)})
    drawn = again("a photo of a person", ann, **SHORT).images
    assert torch.equal(drawn, pipe("a photo of a person", ann, **SHORT).images)
    assert not torch.allclose(drawn, pipe("a photo of a person", None, **SHORT).images, atol=1e-4)
    assert again.conditions["image"].arguments == condition.arguments


def test_another_clip_is_refused(condition, bundle):
    arguments = condition.arguments | {"fingerprint": "c" * 64}
    with pytest.raises(BolidError, match="is not the network that the image condition was trained with"):
        ImageCondition(**arguments)


def test_photos_are_read_for_all_conditions(pipe, condition, tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setattr("bolid.pipelines.reading.pose_estimator", lambda _: FakePose())
    for k, colour in enumerate(((250, 60, 60), (60, 250, 60))):
        Image.new("RGB", (80, 100), colour).save(tmp_path / f"{k}.png")
    one, other, both = (pipe.identity([tmp_path / f"{k}.png" for k in ks], face="none") for ks in ((0,), (1,), (0, 1)))
    torch.testing.assert_close(both["image"].values, (one["image"].values + other["image"].values) / 2)
    assert both["image"].model == condition.fingerprint
    assert both.keys() == {"body", "image"}
