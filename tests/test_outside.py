"""A loss, a metric and a method from outside the package, trained and measured by configuration alone."""

import json
from pathlib import Path

import pytest
import yaml

from tests.data.fabricate import fabricate
from tests.test_cli import ADAPTER, small

MODULE = """
import torch
from bolid.losses.base import ImageLoss
from bolid.methods.base import Method
from bolid.metrics.base import Description, ImageMetric

class Redness(ImageLoss):
    needs = "photos"

    def __init__(self, weight: float = 1.0, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)

    def forward(self, images, batch, groups):
        return 1 - images[:, 0].mean((1, 2))

class MeanRed(ImageMetric):
    describes = {"mean_red": Description("mean of the red channel, 0 to 1", "higher")}

    def __init__(self):
        super().__init__()
        self.add_sum("red")
        self.add_sum("count")

    def update(self, images, batch):
        self.red += images[:, 0].mean((1, 2)).sum()
        self.count += len(images)

    def compute(self):
        return {"mean_red": (self.red / self.count).float()}

class Painted(Method):
    def __init__(self, red: float):
        self.red = red

    def enroll(self, references):
        return [self.red] * len(references.mask)

    def generate(self, prompts, subjects, seeds, size):
        images = torch.zeros(len(prompts), 3, *size)
        images[:, 0] = torch.tensor(subjects)[:, None, None]
        return images.to(self.pipeline.backbone.unet.device)
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A module of a user's own, and a configuration that names it."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/redness_of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "mine"))
    mine = "redness_of_mine"
    settings = {
        "losses": {"red": {"class_path": f"{mine}.Redness", "init_args": {"weight": 0.5}}},
        "x_gen": {"class_path": "bolid.losses.OneStep", "init_args": {"max_timestep": 1000}},
        "evaluation": {
            "methods": {
                "face": None, "body": None, "both": None, "other": None,
                "painted": {"class_path": f"{mine}.Painted", "init_args": {"red": 0.25}},
                "shuffled": {
                    "class_path": "bolid.methods.ShuffledIdentity",
                    "init_args": {"of": {"class_path": f"{mine}.Painted", "init_args": {"red": 0.75}}},
                },
            },
            "metrics": {"red": {"class_path": f"{mine}.MeanRed"}, "fid": None, "inception_score": None},
        },
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"model": {"init_args": settings}}))
    return tmp_path / "mine.yaml"


def test_they_are_trained_and_measured_by_configuration_alone(run, outside, tmp_path):
    fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 2}, silhouettes=True)
    words = ["--config", ADAPTER, "--config", outside, *small(tmp_path / "photos")]
    fit = ["--trainer.max_steps", 1, "--trainer.limit_val_batches", 0, "--trainer.log_every_n_steps", 1]
    logger = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "runs", "--trainer.logger.name", "adapter"]
    logger += ["--trainer.logger.version", "x"]
    status, _, err = run("fit", *words, *fit, *logger)
    assert status == 0, err
    logged = Path("runs/adapter/x/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"train/red", "train/diffusion", "train/loss"} <= set(logged)
    assert run("test", *words, *logger, "--model.init_from", "runs/adapter/x/adapter")[0] == 0
    report = json.loads(Path("runs/adapter/x/report.json").read_text())
    assert report["mean_red/painted"] == 0.25
    assert report["mean_red/shuffled"] == 0.75
    assert 0 < report["mean_red/text"] < 1
    assert "mean of the red channel, 0 to 1; higher is better" in Path("runs/adapter/x/report.md").read_text()
