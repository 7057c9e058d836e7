"""Stage 1's ceiling on miniatures: what is taught, what is left alone, and what a report of it is good for."""

import pytest
import torch
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.evaluation.probing import ProbeSpec
from bolid.metrics.looks import Looks, posterior
from bolid.metrics.probe import Seen
from bolid.models.backbones import StableDiffusion
from bolid.models.body_vae import BodyVAE
from bolid.research.supervised_body import SupervisedBodyTask
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.metrics import RatiosProbe
from bolid.tasks.body_vae import BodyVAETask
from tests import miniature
from tests.commands.quiet import quiet_trainer
from tests.tasks.test_body_vae_task import fit

PROBES = ProbeSpec(probes={"shape": RatiosProbe()})


@pytest.fixture
def task(tmp_path):
    torch.manual_seed(0)
    model = BodyVAE(latent_dim=8, size=miniature.SIZE, text_dim=16, channels=(8, 8, 16), width=16, heads=2)
    return SupervisedBodyTask(model, StableDiffusion(str(miniature.save_sd(tmp_path / "sd"))), probe=PROBES)


def known(count=4):
    """A batch of people whose proportions are known."""
    batch = miniature.batch(count)
    batch.references.proportions = torch.randn(count, len(RATIOS), generator=torch.Generator().manual_seed(0))
    return batch


def test_a_fit_teaches_the_encoder_and_leaves_the_decoder(task, tmp_path):
    before = {name: value.clone() for name, value in task.state_dict().items()}
    quiet_trainer(tmp_path, max_steps=3).fit(task, DataLoader([known()] * 3, batch_size=None))
    moved = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    assert {"shape.weight", "model.moments.weight", "model.views.net.0.0.weight", "model.mean_code"} <= moved
    assert not [name for name in moved if "decoder" in name or "nll" in name]


def test_proportions_of_a_batch_are_learned(task, tmp_path):
    batch = known()
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], 1e-2)
    losses = []
    for _ in range(60):
        loss = task.total(task.terms(batch, task.encode(batch), torch.Generator()), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


def test_the_loss_is_the_squared_error_of_those_whose_proportions_are_known(task):
    batch = known()
    batch.references.proportions[1] = torch.nan
    posterior = task.encode(batch)
    with torch.no_grad():
        read = task.shape(posterior.mean)
    expected = (read - batch.references.proportions)[[0, 2, 3]].square().mean()
    found = task.terms(batch, posterior, torch.Generator())["shape"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    batch.references.proportions[:] = torch.nan
    assert task.terms(batch, posterior, torch.Generator())["shape"] == 0


def test_a_fit_on_people_of_unknown_proportions_is_refused(task, tmp_path):
    with pytest.raises(BolidError, match=r"shape can use 0 % .*: it needs people whose proportions are known"):
        fit(task, tmp_path)


def test_a_test_tells_what_it_reads_and_what_a_probe_would_and_others_their_share_of_it(task, tmp_path):
    people = [f"p{i}" for i in range(24)]
    truth = torch.randn(24, len(RATIOS), generator=torch.Generator().manual_seed(0)).double()
    train, test = seen(people[:16], truth[:16]), seen(people[16:], truth[16:])
    found = task.measure(Seen(task.model, test, train)).metrics
    codes = posterior(task.model, test, list(test.sets().values())).mean
    with torch.no_grad():
        read = task.shape(codes).double()
    error, spread = (read - truth[16:]).square().mean(0), truth[16:].var(0, correction=0)
    kept = [k for k, name in enumerate(RATIOS) if name != "arm"]
    assert found["shape_r2"] == pytest.approx(float((1 - error / spread)[kept].mean()), abs=1e-3)
    assert task.report().metrics == found
    report = tmp_path / "report.json"

    def ratio(ceiling):
        report.write_text(f'{{"shape_r2": {ceiling}}}')
        other = BodyVAETask(task.model, task.backbone, probe=ProbeSpec(None, report, {"shape": RatiosProbe()}))
        other.tested.reset()
        return other.measure(Seen(task.model, test, train)).metrics

    plain = ratio(0.5)
    assert plain["shape_r2"] == pytest.approx(found["shape_r2_probe"])
    assert plain["shape_r2_ratio"] == pytest.approx(plain["shape_r2"] / 0.5)
    assert "shape_r2_ratio" not in ratio(-0.1)


def seen(people, truth):
    generator = torch.Generator().manual_seed(len(people))
    photos = [(who, k) for who in people for k in range(4)]
    features = torch.randn(len(photos), 16, generator=generator)
    keypoints = torch.rand(len(photos), 17, 3, generator=generator) * 60
    names = [f"{who}_{k}.png" for who, k in photos]
    text = torch.randn(len(photos), 16, generator=generator)
    proportions = truth.float().repeat_interleave(4, 0)
    attributes = [{"shirt": "red"}] * len(photos)
    who = [who for who, _ in photos]
    return Looks(features, torch.ones(len(photos)), keypoints, text, proportions, who, attributes, names)
