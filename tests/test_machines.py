"""One configuration on one process, on two, killed and resumed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests.data.fabricate import fabricate

ROOT = Path(__file__).parents[1]


@pytest.fixture
def bolid(tmp_path, bundle):
    """Runs `bolid fit` with the adapter's configuration in a process of its own; returns that and its run's folder."""
    fabricate(tmp_path / "photos", {"train": 8, "val": 1, "test": 1}, silhouettes=True)

    def run(version, *words, callbacks=()):
        named = {
            "checkpoint": {"class_path": "ModelCheckpoint", "init_args": {"every_n_train_steps": 1, "save_last": True}},
            "ema": {"class_path": "bolid.callbacks.EMA", "init_args": {"decay": 0.9}},
            **{f"more{number}": callback for number, callback in enumerate(callbacks)},
        }
        (tmp_path / "short.yaml").write_text(yaml.safe_dump({"callbacks": named}))
        command = [sys.executable, "-m", "bolid.cli", "fit", "--config", ROOT / "configs/adapter.yaml"]
        command += ["--config", ROOT / "configs/data/folder.yaml", "--config", tmp_path / "short.yaml"]
        command += ["--data.init_args.folder", tmp_path / "photos", "--data.init_args.batch_size", "2"]
        command += ["--data.init_args.train.samples_per_epoch", "12", "--trainer.val_check_interval", "4"]
        command += ["--trainer.max_steps", "5", "--trainer.accelerator", "cpu", "--trainer.precision", "32-true"]
        command += [
            "--trainer.logger.init_args.version",
            version,
            "--trainer.logger.init_args.save_dir",
            tmp_path / "runs",
        ]
        environment = os.environ | {"BOLID_TINY": str(bundle), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [*map(str, command), *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return done, tmp_path / "runs/adapter" / version

    return run


def last(folder):
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)


@pytest.mark.slow
def test_a_fit_killed_in_the_middle_of_an_epoch_ends_with_the_weights_of_an_uninterrupted_one(bolid):
    whole, whole_folder = bolid("whole", "--ckpt_path", "last")  # there is none yet
    assert whole.returncode == 0, whole.stderr[-2000:]
    said = whole.stdout + whole.stderr  # the bar, and nothing on which nobody can act
    assert "Epoch 0" in said
    noise = ("args parameter", "LeafSpec", "in eval mode at", "litlogger", "/-2", "no last checkpoint")
    assert not [word for word in noise if word in said]
    killer = {"class_path": "tests.killer.KillAt", "init_args": {"step": 3}}  # of 6 steps an epoch
    killed, folder = bolid("killed", callbacks=[killer])
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert last(folder)["global_step"] == 3
    resumed, _ = bolid("killed", "--ckpt_path", "last")
    assert resumed.returncode == 0, resumed.stderr[-2000:]
    expected, found = last(whole_folder), last(folder)
    assert found["global_step"] == expected["global_step"] == 5
    assert all(torch.equal(found["state_dict"][name], value) for name, value in expected["state_dict"].items())
    assert all(torch.equal(found["ema"]["raw"][n], v) for n, v in expected["ema"]["raw"].items())  # not averaged


@pytest.mark.slow
def test_two_processes_train_the_same_weights_on_different_photos(bolid, tmp_path):
    witness = {"class_path": "tests.witness.Witness", "init_args": {"folder": str(tmp_path)}}
    done, folder = bolid("ddp", "--trainer.devices", "2", "--trainer.strategy", "ddp", callbacks=[witness])
    assert done.returncode == 0, done.stderr[-2000:]
    assert last(folder)["global_step"] == 5
    assert (folder / "adapter/body.safetensors").is_file()
    assert all(torch.isfinite(v).all() for v in last(folder)["state_dict"].values())
    one, two = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert one["weights"] == two["weights"]
    assert len(set(one["weights"])) == 6  # after every step, and the average at the end
    assert len(one["names"]) == len(two["names"]) == 5
    assert all(set(a).isdisjoint(b) for a, b in zip(one["names"], two["names"], strict=True))
