"""Training only the decoder leaves the latents as they are."""

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.tasks.bundle.autoencoder import AutoencoderTask
from tests import miniature


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return miniature.save_sd(tmp_path_factory.mktemp("models") / "sd", "v_prediction") / "vae"


def test_only_the_decoder_learns(vae, tmp_path):
    task = AutoencoderTask(decoder_of=vae).train()
    batch = miniature.batch()
    encoder = {name: p.clone() for name, p in task.vae.encoder.named_parameters()}
    before = task.vae.encode(batch.pictures).latent_dist.mode()
    optimizer = task.configure_optimizers()["optimizer"]
    first, _ = task.loss(batch, None)
    for _ in range(3):
        optimizer.zero_grad()
        loss, _ = task.loss(batch, None)
        loss.backward()
        optimizer.step()
    assert loss < first
    assert all(torch.equal(p, encoder[name]) for name, p in task.vae.encoder.named_parameters())
    task.export(tmp_path / "vae")
    again = AutoencoderTask(decoder_of=tmp_path / "vae")
    torch.testing.assert_close(again.vae.encode(batch.pictures).latent_dist.mode(), before, rtol=0, atol=0)
    assert again.vae.config.scaling_factor == pytest.approx(task.vae.config.scaling_factor, abs=1e-4)


def test_a_folder_without_autoencoder(tmp_path):
    with pytest.raises(BolidError, match="no autoencoder"):
        AutoencoderTask(decoder_of=tmp_path)
