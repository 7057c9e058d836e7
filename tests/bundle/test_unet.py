"""The UNet's training: noise levels, latents kept on disk, cells' weights, alignment, and the test by re-noising."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import DDIMScheduler
from torch.nn import functional as F
from torch.utils.data import DataLoader

from bolid.bundle.latent_store import LatentStore
from bolid.bundle.metrics.renoising import Renoising
from bolid.bundle.noise_levels import NoiseLevels
from bolid.bundle.prompt_words import ASIDES, NEGATIVE, PromptDraw
from bolid.bundle.representation import RepresentationAlignment
from bolid.bundle.unet import CellWeights, UNetTask
from bolid.bundle.views import PhotoView
from bolid.models.backbones import StableDiffusion
from bolid.synthetic.readers.attributes import AttributeNetwork
from tests import miniature
from tests.commands.quiet import quiet_trainer


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("unet")
    torch.manual_seed(0)
    AttributeNetwork((48, 32), (8, 8, 8), 16).save_pretrained(root / "reader")
    return SimpleNamespace(sd=miniature.save_sd(root / "sd", "v_prediction"), reader=root / "reader")


@pytest.fixture
def new(folders, tmp_path):
    def make(**more):
        torch.manual_seed(0)
        return UNetTask(StableDiffusion(str(folders.sd)), tmp_path / "latents", **more)

    return make


def test_even_timesteps_are_uniform_and_shifted_ones_lie_towards_noise_until_late():
    def quantiles(progress=0.0, **levels):
        return (
            NoiseLevels(**levels).draw(4000, 1000, progress, generator()).sort().values[[1000, 2000, 3000]]
        ).tolist()

    assert quantiles(shift=1.0) == pytest.approx([250, 500, 750], abs=3)
    assert quantiles(shift=3.0) == pytest.approx([500, 750, 900], abs=3)
    mixed = quantiles(shift=3.0, even=0.5)
    assert mixed[1] == pytest.approx(646, abs=15)  # where half of t and half of t / (3 - 2t) is one half
    late = {"shift": 3.0, "late": 0.8, "late_shift": 0.5}
    assert quantiles(0.79, **late) == quantiles(shift=3.0)
    assert quantiles(0.8, **late) == pytest.approx([143, 333, 600], abs=3)
    drawn = NoiseLevels(shift=9.0).draw(64, 1000, 0.0, generator())
    assert drawn.dtype == torch.int64
    assert 0 <= drawn.min() <= drawn.max() < 1000


class Mean(torch.nn.Linear):
    """An autoencoder that counts what it encodes."""

    def __init__(self):
        super().__init__(1, 1)
        self.seen = 0

    def encode(self, photos):
        self.seen += len(photos)
        return F.avg_pool2d(photos, 2)


def test_latents_of_a_photo_are_encoded_once_for_each_autoencoder(tmp_path):
    network, photos = Mean(), torch.rand(3, 3, 8, 6)
    for _ in range(2):
        store = LatentStore(tmp_path, network, network.encode)
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                found = store.of(photos)
            assert found.dtype == torch.float32
    assert network.seen == 3
    torch.testing.assert_close(found, F.avg_pool2d(photos, 2), atol=1e-3, rtol=1e-3)
    mirrored = store.of(photos.flip(-1))
    assert network.seen == 6
    torch.testing.assert_close(mirrored, F.avg_pool2d(photos.flip(-1), 2), atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        network.weight += 1
    LatentStore(tmp_path, network, network.encode).of(photos)
    assert network.seen == 9


def test_cells_of_person_and_head_weigh_more():
    person, head = torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    person[0, ..., :4], head[0, ..., :2] = 1, 1
    weight = CellWeights(person=2.0, head=3.0).of(
        PhotoView(torch.zeros(2, 3, 8, 8), person, head), torch.zeros(2, 4, 4, 4)
    )
    torch.testing.assert_close(weight[0, 0, 0] / weight[0, 0, 0, 3], torch.tensor([6.0, 3.0, 1.0, 1.0]))
    torch.testing.assert_close(weight.mean((1, 2, 3)), torch.ones(2))


def test_samples_of_a_group_share_noise_timestep_and_drops(new, monkeypatch):
    task, batch, seen = new(prompts=PromptDraw(dropout=0.5)), miniature.batch(32), {}
    batch.pictures[:], batch.groups = batch.pictures[:1], torch.arange(32) // 2
    backbone = task.backbone
    monkeypatch.setattr(
        backbone, "encode_prompt", lambda captions: seen.update(dropped=torch.tensor([not c for c in captions]))
    )
    monkeypatch.setattr(
        backbone, "predict",
        lambda noisy, timesteps, *_: seen.update(noisy=noisy, timesteps=timesteps) or torch.zeros_like(noisy),
    )  # fmt: skip
    task.loss(batch, generator())
    for sampled in seen.values():
        assert torch.equal(sampled[::2], sampled[1::2])
        assert len(set(map(str, sampled[::2].tolist()))) > 1


def test_prompts_are_dropped_or_extended_in_the_shares_asked_for():
    chances = ((torch.arange(1000) + 0.5) / 1000).tolist()
    made = PromptDraw(dropout=0.3, asides=0.2).of(["a man"] * 1000, chances)
    assert (made.count(""), made.count(NEGATIVE), made.count("a man")) == (200, 100, 500)
    assert {made.count(f"a man, {aside}") for aside in ASIDES} == {100}


def test_alignment_teaches_the_unets_first_half_while_it_is_young(new, folders, monkeypatch):
    task = new(alignment=RepresentationAlignment(folders.reader, until=0.5))
    for progress, present in ((0.4, True), (0.5, False)):
        monkeypatch.setattr(UNetTask, "progress", progress)
        assert ("alignment" in task.loss(miniature.batch(), generator())[1]) == present
    task.alignment.loss(miniature.batch().pictures).backward()
    unet = task.backbone.unet
    assert unet.conv_in.weight.grad.abs().sum() > 0
    assert unet.conv_out.weight.grad is None
    assert all(weight.grad is not None for weight in task.alignment.projection.parameters())
    aligned = task.alignment
    aligned.projection = torch.nn.Identity()
    aligned.states = aligned.reader.maps(miniature.batch().pictures * 0.5 + 0.5)
    blind = (aligned.states.norm(dim=1) == 0).float().mean().item()  # cells in which the reader sees nothing
    assert aligned.loss(miniature.batch().pictures).item() == pytest.approx(0.5 * blind, abs=1e-5)


def test_a_short_fit_moves_the_unet_alone_and_shows_what_it_generates(new, folders, tmp_path):
    task = new(alignment=RepresentationAlignment(folders.reader))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    data = DataLoader([miniature.batch(seed=seed) for seed in range(2)], batch_size=None)
    trainer = quiet_trainer(tmp_path)
    trainer.fit(task, data, data)
    moved = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert moved <= task.trained_keys()
    assert any(name.startswith("backbone.unet") for name in moved)
    assert all(name.startswith(("backbone.unet.", "alignment.projection.")) for name in task.trained_keys())
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert {"val/loss", "val/renoised/100", "val/renoised_sharpness/800"} <= set(metrics)
    rows = task.sample_grid()
    assert len(rows) == 8
    assert rows[0].images[""].shape == (3, *miniature.SIZE)


class Oracle:
    """A backbone that knows the clean latents, and says which v leads there."""

    def __init__(self):
        self.noise_scheduler = DDIMScheduler(prediction_type="v_prediction", clip_sample=False)
        self.clean = None
        self.asked = []

    def encode_pictures(self, pictures):
        self.clean = F.avg_pool2d(pictures, 2)
        return self.clean

    def decode_latents(self, latents):
        return F.interpolate(latents, scale_factor=2.0)

    def encode_prompt(self, captions):
        return None

    def predict(self, noisy, timesteps, text, embeds, time_ids):
        self.asked.append(int(timesteps[0]))
        alpha = self.noise_scheduler.alphas_cumprod[timesteps][:, None, None, None]
        noise = (noisy - alpha.sqrt() * self.clean) / (1 - alpha).sqrt()
        return alpha.sqrt() * noise - (1 - alpha).sqrt() * self.clean


def test_renoising_starts_at_each_level_and_a_perfect_unet_brings_everything_back():
    backbone, batch = Oracle(), miniature.batch()
    metric = Renoising(backbone, levels=(100, 800), steps=10)
    metric.update(batch.pictures * 0.5 + 0.5, batch)
    assert backbone.asked == [99, 799, 699, 599, 499, 399, 299, 199, 99]
    found = metric.compute()
    assert min(found["renoised/100"], found["renoised/800"]) > 60
    assert found["renoised_sharpness/800"].item() == pytest.approx(1, abs=1e-3)
    backbone.predict = lambda noisy, *_: torch.zeros_like(noisy)
    blind = Renoising(backbone, levels=(100, 800), steps=10)
    blind.update(batch.pictures * 0.5 + 0.5, batch)
    assert blind.compute()["renoised/800"] < blind.compute()["renoised/100"] < 40
