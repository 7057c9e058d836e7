"""Steps whose gradient is not finite leave no trace but their count."""

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from bolid.callbacks.export import Export
from bolid.callbacks.finite import SkipNonFinite
from bolid.core.errors import BolidError
from tests.callbacks.callback_fakes import Line, loader, trainer


class Sometimes(Line):
    """Its loss is not a number in some steps; remembers the weights after each."""

    def __init__(self, bad):
        super().__init__()
        self.bad, self.weights = bad, []

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss * (float("nan") if self.trainer.fit_loop.total_batch_idx in self.bad else 1.0)

    def on_train_batch_end(self, *_):
        self.weights.append(self.line.weight.detach().clone())


def test_a_bad_step_changes_nothing_and_is_counted(tmp_path):
    task = Sometimes({1, 4})
    run = trainer(tmp_path, SkipNonFinite())
    with pytest.warns(UserWarning, match="step 1: the gradient is not finite"):
        run.fit(task, loader())
    assert all(weight.isfinite().all() for weight in task.weights)
    same = [k for k in range(1, 8) if torch.equal(task.weights[k], task.weights[k - 1])]
    assert same == [1, 4]
    assert run.callback_metrics["train/skipped_steps"] == 2


def test_without_it_everything_is_lost(tmp_path):
    task = Sometimes({1})
    trainer(tmp_path).fit(task, loader())
    assert task.line.weight.isnan().all()


@pytest.mark.filterwarnings("ignore:step")
def test_a_fit_of_nothing_but_bad_steps_ends(tmp_path):
    task = Sometimes({1, 3, 4, 5, 6})
    with pytest.raises(BolidError, match=r"step 5: the gradient was not finite 3 times in a row; lower"):
        trainer(tmp_path, SkipNonFinite(patience=3)).fit(task, loader())
    assert task.line.weight.isfinite().all()
    trainer(tmp_path, SkipNonFinite(patience=2)).fit(Sometimes({1, 3, 5, 7}), loader())


def scaled():
    """16-mixed's scaler, on a CPU, with a scale that never overflows by itself."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1.0))


def test_beside_a_scaler_steps_are_counted_too(tmp_path):
    task = Sometimes({1, 4})
    run = trainer(tmp_path, SkipNonFinite(), plugins=[scaled()])
    run.fit(task, loader())
    assert [k for k in range(1, 8) if torch.equal(task.weights[k], task.weights[k - 1])] == [1, 4]
    assert run.callback_metrics["train/skipped_steps"] == 2


def test_a_fit_that_never_stepped_exports_nothing(tmp_path):
    task = Sometimes(set(range(99)))
    with pytest.raises(BolidError, match="all 8 steps were skipped, since no gradient was finite: nothing has changed"):
        trainer(tmp_path, SkipNonFinite(), Export(), plugins=[scaled()]).fit(task, loader())
    assert not task.exported
    with pytest.raises(BolidError, match="the gradient was not finite 6 times in a row"):
        trainer(tmp_path, SkipNonFinite(scaler_patience=6), plugins=[scaled()]).fit(task, loader())
