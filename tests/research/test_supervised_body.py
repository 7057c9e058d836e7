"""Stage 1's ceiling on miniatures: what is taught, what is left alone, and what a report of it is good for."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.metrics.looks import Looks, posterior
from bolid.models.backbones import StableDiffusion
from bolid.models.body_vae import BodyVAE
from bolid.research.supervised_body import SupervisedBodyTask
from bolid.synthetic.measures import RATIOS
from bolid.tasks.body_vae import BodyVAETask
from tests import miniature
from tests.commands.quiet import quiet_trainer
from tests.data.fabricate import fabricate_bodies
from tests.tasks.test_body_vae_task import fit


@pytest.fixture
def task(tmp_path):
    torch.manual_seed(0)
    model = BodyVAE(latent_dim=8, size=miniature.SIZE, text_dim=16, channels=(8, 8, 16), width=16, heads=2)
    (tmp_path / "people").mkdir()
    fabricate_bodies(tmp_path / "people", miniature.batch().identities)
    backbone = StableDiffusion(str(miniature.save_sd(tmp_path / "sd")))
    return SupervisedBodyTask(model, backbone=backbone, people=tmp_path / "people")


def test_a_fit_teaches_the_encoder_and_leaves_the_decoder(task, tmp_path):
    before = {name: value.clone() for name, value in task.state_dict().items()}
    fit(task, tmp_path, steps=3)
    moved = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert {"shape.weight", "model.moments.weight", "model.views.net.0.0.weight", "model.mean_code"} <= moved
    assert not [name for name in moved if "decoder" in name or "nll" in name]


def test_proportions_of_a_batch_are_learned(task, tmp_path):
    fit(task, tmp_path, steps=1)
    batch = miniature.batch()
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(60):
        loss = task.total(task.losses(batch, task._encode(batch), torch.Generator()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_the_loss_is_the_squared_error_in_within_gender_deviations(task):
    batch = miniature.batch()
    posterior = task._encode(batch)
    with torch.no_grad():
        read = task.shape(posterior.mean)
    truth = fabricate_bodies(task.folder, batch.identities)  # what it wrote, it tells
    expected = (read - truth).square().mean()
    torch.testing.assert_close(task.losses(batch, posterior, torch.Generator())["shape"], expected, atol=1e-4, rtol=0)


def test_people_whom_the_table_does_not_know_are_named(task, tmp_path):
    data = LightningDataModule()
    data.splits = {"train": [SimpleNamespace(identity="anna")], "val": []}
    data.train_dataloader = lambda: DataLoader([miniature.batch()], batch_size=None)
    with pytest.raises(BolidError, match=r"does not know anna: set the task's people to data\.folder"):
        quiet_trainer(tmp_path).fit(task, datamodule=data)


def test_a_test_tells_what_it_reads_and_what_a_probe_would_and_others_their_share_of_it(task, tmp_path):
    people = [f"p{i}" for i in range(24)]
    truth = fabricate_bodies(task.folder, people).double()
    task.__dict__.pop("truth", None)
    task.bodies = task.truth
    train, test = seen(people[:16]), seen(people[16:])
    found = task.measure(test, train, {})
    codes = posterior(task.model, test, list(test.sets().values())).mean
    with torch.no_grad():
        read = task.shape(codes).double()
    error, spread = (read - truth[16:]).square().mean(0), truth[16:].var(0, correction=0)
    kept = [k for k, name in enumerate(RATIOS) if name != "arm"]
    assert found["shape_r2"] == pytest.approx(float((1 - error / spread)[kept].mean()), abs=1e-3)
    other = BodyVAETask(task.model, task.backbone, people=task.folder)
    other.bodies, other.ceiling = task.truth, 0.5
    plain = other.measure(test, train, {})
    assert plain["shape_r2"] == pytest.approx(found["shape_r2_probe"])
    assert plain["shape_r2_ratio"] == pytest.approx(plain["shape_r2"] / 0.5)
    other.ceiling = -0.1
    assert "shape_r2_ratio" not in other.measure(test, train, {})


def seen(people):
    generator = torch.Generator().manual_seed(len(people))
    photos = [(who, k) for who in people for k in range(4)]
    features = torch.randn(len(photos), 16, generator=generator)
    keypoints = torch.rand(len(photos), 17, 3, generator=generator) * 60
    captions = ["a photo of a woman, wearing a red shirt and blue trousers"] * len(photos)
    names = [f"{who}_{k}.png" for who, k in photos]
    text = torch.randn(len(photos), 16, generator=generator)
    return Looks(features, torch.ones(len(photos)), keypoints, text, [who for who, _ in photos], captions, names)
