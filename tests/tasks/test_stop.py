"""What ends a fit early, above all on two processes, of which one waits for the other's samples."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import Dataset

from bolid.callbacks.ema import EMA
from bolid.data.sampler import EpochSampler, ResumableLoader
from bolid.tasks.stop import StopTogether
from tests.callbacks.callback_fakes import Line, loader, trainer

HERE = Path(__file__).parent


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def test_two_ranks_end_together_whatever_happens_to_one_while_samples_are_drawn(tmp_path):
    port, environment = free_port(), os.environ | {"PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, HERE / "one_rank.py"]
    ranks = [subprocess.Popen([*command, str(rank), port, tmp_path], env=environment) for rank in (0, 1)]
    try:
        assert [rank.wait(600) for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert first[0] == second[0] == {"step": 4}  # nothing happened
    assert first[1:4] == [{"status": 143, "step": 2}] * 3  # a SIGTERM to the first, to the second, to both
    assert second[1:4] == [{"status": 0, "step": 2}] * 3
    assert second[4] == {"error": "no picture"}
    assert "timed out" not in first[4]["error"].lower()  # its neighbour is gone, and it notices
    assert len(list((tmp_path / "samples").iterdir())) == 2  # of the first run; the others drew step 2 anew


class Photos(Dataset):
    """A sample depends on its place in the fit."""

    def __getitem__(self, draw):
        return torch.full((2,), draw.epoch + draw.place / 10)

    def __len__(self):
        return 18


class Told(Line):
    """Is sent a signal in a step or a validation."""

    def __init__(self, number=signal.SIGTERM, step=None, validation=None):
        super().__init__()
        self.number, self.step, self.validation = number, step, validation

    def training_step(self, batch, batch_idx):
        if self.global_step == self.step:
            self.step = None
            os.kill(os.getpid(), self.number)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        if self.global_step == self.validation and batch_idx == 1:
            os.kill(os.getpid(), self.number)


def fit(folder, task, **more):
    callbacks = [EMA(), ModelCheckpoint(folder / "kept", every_n_train_steps=100, save_last=True), StopTogether()]
    run = trainer(folder, *callbacks, enable_checkpointing=True, accumulate_grad_batches=2, max_epochs=3)
    photos = ResumableLoader(Photos(), batch_size=3, sampler=EpochSampler(18, 3, training=True))
    run.fit(task, photos, loader(3), **more)
    return task


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("when", "kept"), [({"step": 1}, 2), ({"step": 5}, 6), ({"step": 0}, 1), ({"validation": 3}, 3), ({"step": 8}, 9)]
)
def test_a_fit_that_was_ended_goes_on_as_if_it_had_not_been(tmp_path, number, when, kept):
    before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]
    whole = fit(tmp_path / "whole", Told())
    with pytest.raises(SystemExit) as end:
        fit(tmp_path / "parts", Told(number, **when))
    assert end.value.code == 128 + number
    assert torch.load(tmp_path / "parts/kept/last.ckpt")["global_step"] == kept
    assert [f.name for f in (tmp_path / "parts/kept").iterdir()] == ["last.ckpt"]
    resumed = fit(tmp_path / "parts", Told(), ckpt_path=tmp_path / "parts/kept/last.ckpt")
    ends = [torch.load(tmp_path / f"{name}/kept/last.ckpt") for name in ("whole", "parts")]
    assert ends[0]["global_step"] == ends[1]["global_step"] == 9
    assert torch.equal(whole.line.weight, resumed.line.weight)
    for part in ("state_dict", "ema"):
        torch.testing.assert_close(ends[0][part], ends[1][part], rtol=0, atol=0)
    torch.testing.assert_close(ends[0]["optimizer_states"], ends[1]["optimizer_states"], rtol=0, atol=0)
    assert [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)] == before


def test_an_earlier_fits_checkpoint_is_not_overwritten(tmp_path):
    fit(tmp_path, Told())
    with pytest.raises(SystemExit):
        fit(tmp_path, Told(step=1))
    assert torch.load(tmp_path / "kept/last.ckpt")["global_step"] == 9
    assert torch.load(tmp_path / "kept/last-v1.ckpt")["global_step"] == 2


def test_a_second_signal_ends_the_process_at_once(tmp_path):
    class Twice(Told):
        def on_before_optimizer_step(self, optimizer):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        fit(tmp_path, Twice(signal.SIGTERM, step=0))
    assert end.value.code == 143
    assert not (tmp_path / "kept").exists()


def test_without_checkpoints_a_fit_ends_all_the_same(tmp_path, caplog):
    run = trainer(tmp_path, StopTogether())
    with pytest.raises(SystemExit) as end, caplog.at_level("INFO"):
        run.fit(Told(step=2), loader(), loader(1))
    assert end.value.code == 143
    assert run.global_step == 3  # the step in hand is finished
    assert "SIGTERM: ended after step 3; no ModelCheckpoint keeps it" in caplog.messages


def test_the_last_checkpoint_is_of_the_last_step(tmp_path):
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=3, save_last=True)
    run = trainer(tmp_path, EMA(), keep, StopTogether(), enable_checkpointing=True)
    run.fit(Line(), loader())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 8
