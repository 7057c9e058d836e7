"""Stage 1's ceiling on miniatures: what is taught, what is left alone, and what a report of it is good for."""

import json

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.core.measures import RATIOS
from bolid.core.results import read_metric
from bolid.models.backbones import StableDiffusion
from bolid.models.body_vae import BodyVAE
from bolid.tasks.supervised_body import SupervisedBodyTask
from tests import miniature
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


def test_one_reading_a_proportion(task):
    assert task.shape.out_features == len(RATIOS)


def test_a_number_of_a_report_is_read_and_its_absence_named(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"shape_r2": 0.5}))
    assert read_metric(tmp_path / "report.json", "shape_r2") == 0.5
    with pytest.raises(BolidError, match="tells no twin_top1"):
        read_metric(tmp_path / "report.json", "twin_top1")
    with pytest.raises(BolidError, match="is no report"):
        read_metric(tmp_path / "none.json", "shape_r2")
