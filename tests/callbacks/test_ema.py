import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from bolid.callbacks.ema import EMA
from bolid.callbacks.export import Export
from bolid.core.errors import BolidError
from tests.callbacks.callback_fakes import Line, loader, trainer


class Watch(Callback):
    """Keeps the raw weights after every optimiser step, beginning with those at the start."""

    def __init__(self):
        self.weights = []

    def on_train_start(self, trainer, pl_module):
        self.weights = [pl_module.line.weight.detach().clone()]

    def on_train_batch_end(self, trainer, pl_module, *args):
        if trainer.global_step >= len(self.weights):
            self.weights.append(pl_module.line.weight.detach().clone())


def average(weights, decay):
    """By hand: a_n = d_n·a_(n−1) + (1 − d_n)·w_n with diffusers' d_n."""
    mean = weights[0]
    for n, weight in enumerate(weights[1:], 1):
        keep = 0.0 if n == 1 else min(decay, n / (9 + n))
        mean = keep * mean + (1 - keep) * weight
    return mean


@pytest.mark.parametrize(("decay", "accumulate"), [(0.999, 1), (0.3, 1), (0.999, 2)])
def test_validation_and_export_see_the_average(tmp_path, decay, accumulate):
    task, watch = Line(), Watch()
    fit = trainer(tmp_path, Export(), EMA(decay), watch, accumulate_grad_batches=accumulate)
    fit.fit(task, loader(), loader(1))
    assert len(watch.weights) == 1 + 8 // accumulate
    halfway = watch.weights[: 1 + 4 // accumulate]
    torch.testing.assert_close(task.seen[0], average(halfway, decay))
    torch.testing.assert_close(task.seen[1], average(watch.weights, decay))
    (exported,) = task.exported
    assert (tmp_path / "adapter/line.txt").is_file()
    torch.testing.assert_close(exported[1], average(watch.weights, decay))
    fit.test(task, loader(1), verbose=False)
    torch.testing.assert_close(task.seen[2], exported[1])


def test_warm_starts_count(tmp_path):
    task, watch = Line(start=5.0), Watch()
    trainer(tmp_path, EMA(0.99), watch, max_epochs=1).fit(task, loader(2), loader(1))
    assert watch.weights[0].eq(5).all()
    torch.testing.assert_close(task.seen[0], average(watch.weights, 0.99))


def test_a_second_average_is_refused(tmp_path):
    with pytest.raises(BolidError, match="two EMA callbacks overwrite each other"):
        trainer(tmp_path, EMA(), EMA(0.9)).fit(Line(), loader(), loader(1))


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_resuming_is_exact(tmp_path, stop):
    def run(folder, steps, **kwargs):
        task, watch = Line(), Watch()
        fit = trainer(tmp_path / folder, EMA(), watch, max_steps=steps, max_epochs=-1)
        fit.fit(task, loader(), loader(1), **kwargs)
        fit.save_checkpoint(tmp_path / f"{folder}.ckpt")
        return torch.load(tmp_path / f"{folder}.ckpt", weights_only=True)

    whole = run("whole", 9)
    run("half", stop)
    resumed = run("resumed", 9, ckpt_path=tmp_path / "half.ckpt")
    assert resumed["ema"]["steps"] == whole["ema"]["steps"] == 9
    for part in (lambda c: c["state_dict"], lambda c: c["ema"]["raw"]):
        assert part(resumed).keys() == part(whole).keys()
        assert all(torch.equal(part(resumed)[name], weight) for name, weight in part(whole).items())
    assert not torch.equal(whole["state_dict"]["line.weight"], whole["ema"]["raw"]["line.weight"])


@pytest.mark.parametrize(
    "when", [{"save_on_train_epoch_end": True}, {"save_on_train_epoch_end": False}, {"every_n_train_steps": 1}]
)
def test_checkpoints_hold_the_average_whenever_they_are_written(tmp_path, when):
    task, watch = Line(), Watch()
    save = ModelCheckpoint(tmp_path, filename="last", save_top_k=1, **when)
    trainer(tmp_path, save, EMA(), watch, enable_checkpointing=True).fit(task, loader(), loader(1))
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    step = checkpoint["global_step"]
    torch.testing.assert_close(checkpoint["state_dict"]["line.weight"], average(watch.weights[: step + 1], 0.999))
    torch.testing.assert_close(checkpoint["ema"]["raw"]["line.weight"], watch.weights[step])
    assert set(checkpoint["ema"]["raw"]) == {"line.weight", "line.bias"}  # the frozen layer is not averaged


def test_a_test_reads_the_average_from_a_checkpoint(tmp_path):
    task = Line()
    fit = trainer(tmp_path, EMA())
    fit.fit(task, loader(), loader(1))
    fit.save_checkpoint(tmp_path / "a.ckpt")
    fresh = Line(start=7.0)
    trainer(tmp_path, EMA()).test(fresh, loader(1), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    torch.testing.assert_close(fresh.seen[0], task.seen[-1])


def test_a_failing_validation_leaves_the_raw_weights(tmp_path):
    class Failing(Line):
        def validation_step(self, batch, batch_idx):
            raise RuntimeError("stop")

    task, watch = Failing(), Watch()
    with pytest.raises(RuntimeError, match="stop"):
        trainer(tmp_path, EMA(), watch).fit(task, loader(), loader(1))
    assert torch.equal(task.line.weight, watch.weights[-1])
