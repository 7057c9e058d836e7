"""Gaussian weighting against the formula; the encoder's set properties; the posterior against torch.distributions."""

import math

import pytest
import torch
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch.distributions import Normal, kl_divergence

from bolid.core.errors import BolidError
from bolid.core.keypoints import flip
from bolid.models.body_vae import BodyVAE, Posterior, load_body_vae
from bolid.models.gaussian import gaussian_maps, gaussian_weight, person_height
from tests import miniature


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return BodyVAE.from_pretrained(str(miniature.save_body_vae(tmp_path_factory.mktemp("body")))).eval()


def test_weight_is_the_papers_formula_at_a_pixel():
    keypoints = torch.zeros(1, 17, 3)
    keypoints[0, 5], keypoints[0, 6], keypoints[0, 16] = (
        torch.tensor(p) for p in ([10.0, 4.0, 1.0], [20.0, 4.0, 0.5], [12.0, 44.0, 0.9])
    )
    sigma = 0.1 * 40  # the detected points span 40 pixels
    row, column = 6, 17
    expected = max(
        c * math.exp(-((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2) / (2 * sigma**2))
        for x, y, c in ([10, 4, 1], [20, 4, 0.5], [12, 44, 0.9])
    )
    assert person_height(keypoints).item() == 40
    assert gaussian_weight(keypoints, (48, 32), 0.1)[0, 0, row, column].item() == pytest.approx(expected, rel=1e-5)


def test_undetected_points_contribute_nothing_wherever_they_claim_to_be():
    keypoints = torch.rand(2, 17, 3) * 30
    keypoints[..., 2] = 1
    moved = keypoints.clone()
    keypoints[:, 7, 2] = moved[:, 7, 2] = 0
    moved[:, 7, :2] = 500
    assert torch.equal(gaussian_maps(keypoints, (48, 32), 0.1), gaussian_maps(moved, (48, 32), 0.1))
    assert not gaussian_maps(keypoints * 0, (48, 32), 0.1).any()


def test_the_order_of_views_does_not_matter(model):
    b = miniature.batch(3, 4)
    order = [2, 0, 3, 1]
    a = model.encode(b.references.pictures, b.references.keypoints, b.references.mask)
    c = model.encode(b.references.pictures[:, order], b.references.keypoints[:, order], b.references.mask[:, order])
    assert torch.allclose(a.mean, c.mean, atol=1e-5)
    assert torch.allclose(a.logvar, c.logvar, atol=1e-5)


def test_masked_views_are_not_looked_at_and_others_are(model):
    b = miniature.batch(2, 3)
    mask = torch.tensor([[True, True, False]] * 2)
    noise = torch.randn_like(b.references.pictures[:, 2])
    other = b.references.pictures.clone()
    other[:, 2] = noise
    a = model.encode(b.references.pictures, b.references.keypoints, mask).mean
    assert torch.allclose(a, model.encode(other, b.references.keypoints, mask).mean, atol=1e-5)
    assert not torch.allclose(a, model.encode(other, b.references.keypoints, mask | True).mean, atol=1e-3)
    alone = model.encode(b.references.pictures[:, :2], b.references.keypoints[:, :2], mask[:, :2]).mean
    assert torch.allclose(a, alone, atol=1e-5)


def test_only_the_weighted_part_of_a_picture_is_seen(model):
    b = miniature.batch(1, 1)
    keypoints = torch.zeros_like(b.references.keypoints)
    keypoints[..., 5, :], keypoints[..., 6, :] = torch.tensor([8.0, 4.0, 1.0]), torch.tensor([8.0, 9.0, 1.0])
    changed = b.references.pictures.clone()
    changed[..., 40:, 20:] = 1  # many σ away
    mask = torch.ones(1, 1, dtype=torch.bool)
    a = model.encode(b.references.pictures, keypoints, mask).mean
    assert torch.allclose(a, model.encode(changed, keypoints, mask).mean, atol=1e-5)


def test_no_views_at_all_give_finite_numbers(model):
    b = miniature.batch(1, 2)
    posterior = model.encode(b.references.pictures, b.references.keypoints * 0, torch.zeros(1, 2, dtype=torch.bool))
    assert torch.isfinite(posterior.mean).all()


def test_kl_and_sampling_agree_with_torch_distributions():
    posterior = Posterior(torch.randn(3, 5), torch.randn(3, 5))
    normal = Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    expected = kl_divergence(normal, Normal(torch.zeros(3, 5), torch.ones(3, 5))).sum(1)
    assert torch.allclose(posterior.kl(), expected, atol=1e-5)
    wide = Posterior(posterior.mean.repeat(4000, 1), posterior.logvar.repeat(4000, 1))
    samples = wide.sample(torch.Generator().manual_seed(0)).view(4000, 3, 5)
    assert torch.allclose(samples.mean(0), posterior.mean, atol=0.15)
    assert torch.allclose(samples.std(0), normal.scale, rtol=0.1)


def test_decoder_depends_on_code_pose_and_caption(model):
    b = miniature.batch(1, 1)
    code, text = torch.zeros(1, 8), torch.zeros(1, 16)
    base = model.decode(code, b.keypoints_canonical, text)
    assert base.picture.shape == (1, 3, *miniature.SIZE)
    assert base.silhouette.shape == (1, 1, *miniature.SIZE)
    for other in (
        model.decode(code + 1, b.keypoints_canonical, text),
        model.decode(code, b.keypoints, text),
        model.decode(code, b.keypoints_canonical, text + 1),
    ):
        assert (other.picture - base.picture).abs().max() > 1e-5


def test_an_encoder_is_loaded_from_safetensors_or_refused_with_the_remedy(tmp_path):
    folder = miniature.save_body_vae(tmp_path / "body")
    assert load_body_vae(str(folder)).config.latent_dim == 8
    weights = folder / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    with pytest.raises(BolidError, match=r"body holds no readable body encoder: copy it anew"):
        load_body_vae(str(folder))
    weights.unlink()
    torch.save({}, folder / "diffusion_pytorch_model.bin")  # a pickle is no substitute
    with pytest.raises(BolidError, match=r"body holds no readable body encoder: copy it anew"):
        load_body_vae(str(folder))
    with pytest.raises(BolidError, match="bolid fit"):
        load_body_vae(str(tmp_path / "nowhere"))


def test_unweighted_views_and_mean_pooling():
    torch.manual_seed(0)
    options = {"latent_dim": 8, "size": miniature.SIZE, "text_dim": 16, "channels": (8, 8, 16), "width": 16, "heads": 2}
    batch = miniature.batch(count=2, references=3)
    seen = batch.references.pictures, batch.references.keypoints, torch.ones(2, 3, dtype=torch.bool)
    model = BodyVAE(**options | {"heads": 0}).eval()
    features, weight = model.look(seen[0].flatten(0, 1), seen[1].flatten(0, 1))
    mean = (features * weight[:, None]).unflatten(0, (2, 3)).sum(1) / weight.unflatten(0, (2, 3)).sum(1, keepdim=True)
    torch.testing.assert_close(model.encode(*seen).mean, model.moments(mean)[:, :8])
    nobody = torch.zeros_like(seen[1])  # W is zero everywhere
    for weighted in (True, False):
        model = BodyVAE(**options, weighted=weighted).eval()
        one, other = (model.encode(pictures, nobody, seen[2]).mean for pictures in (seen[0], -seen[0]))
        assert torch.equal(one, other) == weighted


def test_only_where_a_trunk_is_seen_is_it_looked_at():
    torch.manual_seed(0)
    options = {"latent_dim": 8, "size": miniature.SIZE, "text_dim": 16, "channels": (8, 8, 16), "width": 16, "heads": 2}
    model = BodyVAE(**options).eval()
    batch = miniature.batch(count=2)
    batch.keypoints[..., 2] = 1
    batch.keypoints[1, 12] = 0
    before = model.look(batch.pictures, batch.keypoints)[0]
    for parameter in [*model.views.near.parameters(), *model.views.joints.parameters()]:
        parameter.data += 1
    after = model.look(batch.pictures, batch.keypoints)[0]
    assert (before == after).all(1).tolist() == [False, True]


@pytest.mark.parametrize("changes", [{"shrink": 2}, {"decoder_channels": (8,) * 5}, {"size": (48, 30)}])
def test_sizes_that_cannot_be_drawn_are_refused(changes):
    with pytest.raises(BolidError, match="decoder_channels, one per doubling"):
        BodyVAE(**{"size": (48, 32), "channels": (8, 8, 8, 8), "width": 16, "heads": 2} | changes)


def test_an_encoder_of_another_version_is_refused(tmp_path):
    folder = miniature.save_body_vae(tmp_path / "body")
    weights = load_file(folder / SAFETENSORS_WEIGHTS_NAME)
    save_file({k: v for k, v in weights.items() if "joints" not in k}, folder / SAFETENSORS_WEIGHTS_NAME)
    with pytest.raises(BolidError, match=r"another version's body encoder \(it differs in views.joints"):
        load_body_vae(str(folder))


def test_a_mirrored_photo_tells_the_same(model):
    batch = miniature.batch(count=3)
    mirrored = torch.from_numpy(flip(batch.keypoints.numpy(), batch.pictures.shape[-1]))
    views = (batch.pictures, batch.keypoints), (batch.pictures.flip(-1), mirrored)
    torch.testing.assert_close(*(model.look(*view)[0] for view in views))
    model.train()
    ours, theirs = (model.look(*view)[0] for view in views)
    model.eval()
    assert (ours - theirs).abs().amax(1).min() > 1e-3  # in training, each look is its own
