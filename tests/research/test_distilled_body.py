"""The body branch that learns the oracle's words, on miniatures: what it takes over, leaves and refuses."""

import pytest
import torch

from bolid.conditions import BodyCondition, FaceCondition
from bolid.core.errors import BolidError
from bolid.models.backbones import StableDiffusion
from bolid.research.distilled_body import DistilledBodyTask
from bolid.research.true_body import TrueBodyCondition
from bolid.tasks import AdapterTask
from tests import miniature
from tests.commands.quiet import quiet_trainer
from tests.data.fabricate import fabricate_bodies
from tests.tasks.adapters import batches


@pytest.fixture
def people(tmp_path):
    (tmp_path / "people").mkdir()
    fabricate_bodies(tmp_path / "people", miniature.batch().identities)
    return tmp_path / "people"


def fitted(folders, tmp_path, branches):
    """Checkpoint of two steps of L_diff."""
    torch.manual_seed(1)
    task = AdapterTask(StableDiffusion(str(folders["sd"])), branches, optimizer=lambda p: torch.optim.SGD(p, 1.0))
    fit = quiet_trainer(tmp_path)
    fit.fit(task, batches(2))
    fit.save_checkpoint(tmp_path / "teacher.ckpt")
    return tmp_path / "teacher.ckpt"


def pupil(folders, people, teacher, **more):
    torch.manual_seed(0)
    branches = [FaceCondition(), BodyCondition(str(folders["body"]), num_tokens=3)]
    oracle = TrueBodyCondition(people, num_tokens=3)
    return DistilledBodyTask(oracle, teacher, StableDiffusion(str(folders["sd"])), branches, **more)


def test_branches_become_the_teachers_and_the_bodys_projector_learns_the_oracles_tokens(folders, people, tmp_path):
    teacher = fitted(folders, tmp_path, [FaceCondition(), TrueBodyCondition(people, num_tokens=3)])
    task = pupil(folders, people, teacher, optimizer=lambda p: torch.optim.AdamW(p, 1e-2), strengths=[1.0, 2.0])
    quiet_trainer(tmp_path, max_steps=60, max_epochs=-1).fit(task, batches(1))
    after, taught = task.state_dict(), torch.load(teacher, weights_only=True)["state_dict"]
    differ = {name for name, value in taught.items() if not torch.equal(value, after[name])}
    values = {name for name in differ if "_v_ip.1" in name}
    assert values
    assert all(torch.equal(after[name], 2 * taught[name]) for name in values)
    assert all("layers.1" in name for name in differ - values)
    assert differ > values
    first = pupil(folders, people, teacher)
    first.taught.load_state_dict(task.taught.state_dict())
    batch = miniature.batch()
    assert task.distance(batch) < 0.2 * first.distance(batch)


def test_the_distance_is_between_what_both_projectors_say(folders, people, tmp_path):
    task, batch = pupil(folders, people, tmp_path / "none.ckpt"), miniature.batch()
    code = task.branches[1].embed(batch.references, torch.Generator().manual_seed(3))
    truth = TrueBodyCondition(people).embed(batch)
    said = task.backbone.unet.encoder_hid_proj.image_projection_layers[1](code)
    expected = (said - task.taught(truth)).square().mean()
    torch.testing.assert_close(task.distance(batch, torch.Generator().manual_seed(3)), expected)


def test_a_teacher_that_does_not_fit_is_refused(folders, people, tmp_path):
    def fit(task):
        quiet_trainer(tmp_path).fit(task, batches(1))

    with pytest.raises(BolidError, match="teacher: no checkpoint at"):
        fit(pupil(folders, people, tmp_path / "none.ckpt"))
    three = fitted(folders, tmp_path, [FaceCondition(), TrueBodyCondition(people, num_tokens=3), FaceCondition()])
    with pytest.raises(BolidError, match="was not fitted with the same branches"):
        fit(pupil(folders, people, three))
    alone = fitted(folders, tmp_path, [TrueBodyCondition(people, num_tokens=3)])
    with pytest.raises(BolidError, match="fitted with other sizes"):
        fit(pupil(folders, people, alone))
    wider = fitted(folders, tmp_path, [FaceCondition(), TrueBodyCondition(people, num_tokens=5)])
    with pytest.raises(BolidError, match="fitted with other sizes"):
        fit(pupil(folders, people, wider))
    with pytest.raises(BolidError, match="teaches a body branch, and there is none among face"):
        DistilledBodyTask(TrueBodyCondition(people), wider, StableDiffusion(str(folders["sd"])), [FaceCondition()])
