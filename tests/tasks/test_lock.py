"""Two fits do not write into one folder."""

import os
import signal
import subprocess
import sys

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from bolid.core.errors import BolidError
from bolid.tasks.lock import RunLock
from tests.callbacks.callback_fakes import Line, loader, trainer

HOLDER = """
import os, sys, time
from types import SimpleNamespace
from bolid.tasks.lock import RunLock
trainer = SimpleNamespace(fast_dev_run=False, loggers=[1], log_dir=sys.argv[1], is_global_zero=True)
trainer.checkpoint_callbacks = []
trainer.strategy = SimpleNamespace(broadcast=lambda value: value)
lock = RunLock()
lock.setup(trainer, None, "fit")
if not os.fork():  # a worker that outlives it
    time.sleep(30)
print("locked", flush=True)
time.sleep(30)
"""


def fit(folder, *callbacks):
    run = trainer(folder, RunLock(), *callbacks, ModelCheckpoint(folder), enable_checkpointing=True)
    run.fit(Line(), loader(), loader(1))


def test_a_second_fit_is_refused_until_the_first_one_is_gone(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, process_group=0)
    try:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(BolidError, match=rf"^{tmp_path}: another fit is running there; wait for its end, or"):
            fit(tmp_path)
        assert not list(tmp_path.glob("*.ckpt"))
        holder.kill()
        holder.wait()
        fit(tmp_path)
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
    assert [path.suffix for path in tmp_path.iterdir()] == [".ckpt"]
    fit(tmp_path)


def test_a_new_fit_does_not_mix_its_checkpoints_with_another_ones(tmp_path):
    def run(**resume):
        keep = ModelCheckpoint(tmp_path / "checkpoints", save_last=True)
        trainer(tmp_path, RunLock(), keep, enable_checkpointing=True).fit(Line(), loader(), loader(1), **resume)

    run()
    before = (tmp_path / "checkpoints/last.ckpt").read_bytes()
    with pytest.raises(BolidError, match=r"checkpoints holds another fit's checkpoints: resume it by `--ckpt_path"):
        run()
    assert (tmp_path / "checkpoints/last.ckpt").read_bytes() == before
    run(ckpt_path=str(tmp_path / "checkpoints/last.ckpt"))


def test_a_failed_fit_gives_the_folder_back(tmp_path):
    class Failing(Callback):
        def on_train_start(self, *_):
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fit(tmp_path, Failing())
    assert not list(tmp_path.iterdir())
    fit(tmp_path)


def test_what_a_killed_fit_was_writing_is_removed(tmp_path):
    (tmp_path / ".0123456789abcdef.tmp").write_text("half")
    fit(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir()] == [".ckpt"]
