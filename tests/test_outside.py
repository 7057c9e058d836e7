"""A loss, a metric and a method from outside the package, trained and measured by configuration alone.

Their code is that of the pages in `docs/extend`.
"""

import json
from pathlib import Path

import pytest

from tests.data.fabricate import fabricate
from tests.pages import extension
from tests.test_cli import ADAPTER, small

FILES = extension("loss") | extension("metric") | extension("method")  # of the pages that say how

# Fewer methods, and one metric alone.
FEWER = """
model:
  init_args:
    evaluation:
      methods: {face: null, body: null, both: null, other: null}
      metrics: {body_similarity: null, clip_score: null, fid: null, inception_score: null}
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """Modules of a user's own and the configurations that name them, as options of the command line."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, text in {"fewer.yaml": FEWER, **FILES}.items():
        (mine / name).write_text(text)
    monkeypatch.syspath_prepend(str(mine))
    overlays = [mine / name for name in ("fewer.yaml", *FILES) if name.endswith(".yaml")]
    return [word for file in overlays for word in ("--config", file)]


def test_they_are_trained_and_measured_by_configuration_alone(run, outside, tmp_path):
    fabricate(tmp_path / "photos", {"train": 2, "val": 1, "test": 2}, silhouettes=True)
    words = ["--config", ADAPTER, *outside, *small(tmp_path / "photos")]
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
