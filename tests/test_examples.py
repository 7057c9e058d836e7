"""Examples are run as they stand."""

import os
import runpy
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bolid import BoLIDPipeline
from bolid.core.trained_on import was_trained_on
from tests import miniature
from tests.data.fabricate import fabricate

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples/train_ip_adapter.py"


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Runs the example on fabricated people and returns the adapter's folder."""
    root = tmp_path_factory.mktemp("example")
    fabricate(root / "photos", {"train": 3, "val": 1, "test": 1})
    base, body = miniature.save_sd(root / "sd"), miniature.save_body_vae(root / "body")
    main = runpy.run_path(str(EXAMPLE))["main"]

    def words_of(folder: Path, *more: object) -> list[str]:
        words = ["--pretrained_model_name_or_path", base, "--train_data_dir", root / "photos", "--body_encoder", body]
        words += ["--output_dir", folder, "--max_train_steps", 3, "--train_batch_size", 2]
        words += ["--resolution", *miniature.SIZE, "--lr_warmup_steps", 0, *more]
        return [*map(str, words)]

    def run(name: str, *more: object) -> Path:
        main(words_of(root / name, *more))
        return root / name

    run.words = words_of
    return run


def test_a_single_file_trains_an_adapter_that_the_pipeline_loads(train):
    trained, untrained = train("trained", "--learning_rate", 1e-2), train("untrained", "--learning_rate", 0)
    pipe = BoLIDPipeline.from_pretrained(trained)
    assert list(pipe.conditions) == ["face", "body"]
    assert (was_trained_on(trained, "p000000"), was_trained_on(trained, "p000004")) == (True, False)  # train, test
    for name in pipe.conditions:
        before, after = (load_file(folder / f"{name}.safetensors") for folder in (untrained, trained))
        changed = [key for key, value in after.items() if not torch.equal(value, before[key])]
        assert len(changed) > len(after) / 2
        assert all(value.isfinite().all() for value in after.values())


def test_gradients_of_several_batches_and_processes_are_one_step(train, tmp_path):
    """Weights move, and are other ones than those of single batches of one process."""
    alone, untrained = (train(f"again {rate}", "--learning_rate", rate) for rate in (1e-2, 0))
    twice = train("accumulated", "--learning_rate", 1e-2, "--gradient_accumulation_steps", 2)
    both = tmp_path / "both"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(EXAMPLE)]
    command += train.words(both, "--learning_rate", 1e-2)
    more = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | more)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [load_file(folder / "body.safetensors") for folder in (untrained, alone, twice, both)]
    for first, second in combinations(found, 2):
        assert any(not torch.equal(value, second[key]) for key, value in first.items())
    assert all(value.isfinite().all() for value in found[-1].values())
