"""The body condition that learns the oracle's words, on miniatures: what it takes over, leaves and refuses."""

import pytest
import torch
from torch.utils.data import DataLoader

from bolid.conditions import BodyCondition, FaceCondition
from bolid.core.errors import BolidError
from bolid.models.backbones import StableDiffusion
from bolid.research.distilled_body import DistilledBodyTask
from bolid.research.true_body import TrueBodyCondition
from bolid.tasks import AdapterTask
from tests import miniature
from tests.commands.quiet import quiet_trainer


def batch(seed=0):
    """People whose proportions are known."""
    made = miniature.batch(seed=seed)
    made.references.proportions = torch.randn(len(made), 7, generator=torch.Generator().manual_seed(seed))
    return made


def batches(count):
    return DataLoader([batch(seed) for seed in range(count)], batch_size=None)


def fitted(folders, tmp_path, **conditions):
    """Checkpoint of two steps of L_diff."""
    torch.manual_seed(1)
    task = AdapterTask(StableDiffusion(str(folders["sd"])), conditions, optimizer=lambda p: torch.optim.SGD(p, 1.0))
    fit = quiet_trainer(tmp_path)
    fit.fit(task, batches(2))
    fit.save_checkpoint(tmp_path / "teacher.ckpt")
    return tmp_path / "teacher.ckpt"


def pupil(folders, teacher, **more):
    torch.manual_seed(0)
    conditions = {"face": FaceCondition(), "body": BodyCondition(str(folders["body"]), num_tokens=3)}
    oracle = TrueBodyCondition(num_tokens=3)
    return DistilledBodyTask(oracle, teacher, StableDiffusion(str(folders["sd"])), conditions, **more)


def test_conditions_become_the_teachers_and_the_bodys_projector_learns_the_oracles_tokens(folders, tmp_path):
    teacher = fitted(folders, tmp_path, face=FaceCondition(), true_body=TrueBodyCondition(num_tokens=3))
    task = pupil(folders, teacher, optimizer=lambda p: torch.optim.AdamW(p, 1e-2), strengths=[1.0, 2.0])
    quiet_trainer(tmp_path, max_steps=60, max_epochs=-1).fit(task, batches(1))
    after, taught = task.state_dict(), torch.load(teacher, weights_only=True)["state_dict"]
    differ = {name for name, value in taught.items() if not torch.equal(value, after[name])}
    values = {name for name in differ if "_v_ip.1" in name}
    assert values
    assert all(torch.equal(after[name], 2 * taught[name]) for name in values)
    assert all("layers.1" in name for name in differ - values)
    assert differ > values
    first = pupil(folders, teacher)
    first.taught.load_state_dict(task.taught.state_dict())
    shown = batch()
    assert task.distance(shown) < 0.2 * first.distance(shown)


def test_the_distance_is_between_what_both_projectors_say(folders, tmp_path):
    task, shown = pupil(folders, tmp_path / "none.ckpt"), batch()
    code = task.conditions["body"].embed(shown.references, torch.Generator().manual_seed(3))
    truth = TrueBodyCondition().embed(shown.references)
    said = task.backbone.unet.encoder_hid_proj.image_projection_layers[1](code)
    expected = (said - task.taught(truth)).square().mean()
    torch.testing.assert_close(task.distance(shown, torch.Generator().manual_seed(3)), expected)


def test_a_teacher_that_does_not_fit_is_refused(folders, tmp_path):
    def fit(task):
        quiet_trainer(tmp_path).fit(task, batches(1))

    with pytest.raises(BolidError, match="teacher: no checkpoint at"):
        fit(pupil(folders, tmp_path / "none.ckpt"))
    three = fitted(
        folders, tmp_path, face=FaceCondition(), true_body=TrueBodyCondition(num_tokens=3), more=FaceCondition()
    )
    with pytest.raises(BolidError, match="was not fitted with the same conditions"):
        fit(pupil(folders, three))
    alone = fitted(folders, tmp_path, true_body=TrueBodyCondition(num_tokens=3))
    with pytest.raises(BolidError, match="fitted with other sizes"):
        fit(pupil(folders, alone))
    wider = fitted(folders, tmp_path, face=FaceCondition(), true_body=TrueBodyCondition(num_tokens=5))
    with pytest.raises(BolidError, match="fitted with other sizes"):
        fit(pupil(folders, wider))
    with pytest.raises(BolidError, match="teaches a body condition, and there is none among face"):
        DistilledBodyTask(TrueBodyCondition(), wider, StableDiffusion(str(folders["sd"])), {"face": FaceCondition()})
