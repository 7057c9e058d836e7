"""Examples are run as they stand."""

import runpy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bolid import BoLIDPipeline
from bolid.core.trained_on import was_trained_on
from tests import miniature
from tests.data.fabricate import fabricate

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Runs the example on fabricated people and returns the adapter's folder."""
    root = tmp_path_factory.mktemp("example")
    fabricate(root / "photos", {"train": 3, "val": 1, "test": 1})
    base, body = miniature.save_sd(root / "sd"), miniature.save_body_vae(root / "body")
    main = runpy.run_path(str(ROOT / "examples/train_ip_adapter.py"))["main"]

    def run(name: str, *more: object) -> Path:
        words = ["--pretrained_model_name_or_path", base, "--train_data_dir", root / "photos", "--body_encoder", body]
        words += ["--output_dir", root / name, "--max_train_steps", 3, "--train_batch_size", 2]
        words += ["--resolution", *miniature.SIZE, "--lr_warmup_steps", 0, *more]
        main([*map(str, words)])
        return root / name

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


def test_gradients_of_several_batches_are_one_step(train):
    assert (train("accumulated", "--gradient_accumulation_steps", 2) / "adapter.json").is_file()
