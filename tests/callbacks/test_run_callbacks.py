"""Samples, report, export and throughput, with and without loggers."""

import json
import time

import pandas as pd
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bolid.callbacks.export import Export
from bolid.callbacks.report import WriteReport
from bolid.callbacks.samples import SampleGrid
from bolid.callbacks.throughput import Throughput, batch_size
from bolid.core.errors import BolidError
from tests.callbacks.callback_fakes import Line, loader, trainer

LOGGERS = {
    "none": lambda folder: (False, folder),
    "csv": lambda folder: (CSVLogger(folder, name="x", version=3), folder / "x" / "version_3"),
    "tensorboard": lambda folder: (TensorBoardLogger(folder, name="x", version=3), folder / "x" / "version_3"),
}


@pytest.mark.parametrize("kind", LOGGERS)
def test_a_runs_files_lie_in_its_folder(tmp_path, kind):
    logger, folder = LOGGERS[kind](tmp_path)
    task = Line()
    run = trainer(tmp_path, SampleGrid(), WriteReport(), Export(), Throughput(), logger=logger, num_sanity_val_steps=1)
    run.fit(task, loader(), loader(1))
    run.test(task, loader(1), verbose=False)
    assert [p.name for p in sorted((folder / "samples").iterdir())] == ["step_000004.png", "step_000008.png"]
    assert json.loads((folder / "report.json").read_text()) == {"fid/clip/both": 1.0, "pictures": 4, "seed": 0}
    assert (folder / "sheet.png").is_file()
    assert "Few images" in (folder / "report.md").read_text()
    assert len(task.exported) == 1
    assert [p.name for p in (folder / "adapter").iterdir()] == ["line.txt"]


def test_tensorboard_gets_the_grid_at_every_validation(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger, folder = LOGGERS["tensorboard"](tmp_path)
    trainer(tmp_path, SampleGrid(), logger=logger).fit(Line(), loader(), loader(1))
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert [e.step for e in events.Images("samples")] == [4, 8]
    with Image.open(folder / "samples" / "step_000004.png") as grid:
        assert (events.Images("samples")[0].width, events.Images("samples")[0].height) == grid.size


def test_samples_do_not_disturb_training(tmp_path):
    class Noisy(Line):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch + torch.randn(2), batch_idx)

    weights = []
    for callbacks in ([], [SampleGrid()]):
        task = Noisy()
        torch.manual_seed(1)
        trainer(tmp_path, *callbacks).fit(task, loader(), loader(1))
        weights.append(task.line.weight)
    assert torch.equal(*weights)


def test_samples_every_other_validation(tmp_path):
    trainer(tmp_path, SampleGrid(every_n_validations=2), max_epochs=3).fit(Line(), loader(), loader(1))
    assert [p.name for p in sorted((tmp_path / "samples").iterdir())] == ["step_000004.png", "step_000012.png"]


def test_a_development_run_writes_nothing(tmp_path):
    task = Line()
    trainer(tmp_path, SampleGrid(), Export(), fast_dev_run=True).fit(task, loader(), loader(1))
    assert not list(tmp_path.iterdir())
    assert not task.exported


def test_a_broken_export_leaves_the_one_before(tmp_path):
    class Broken(Line):
        def export(self, folder):
            super().export(folder)
            raise RuntimeError("killed")

    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/old.txt").write_text("of the run before")
    with pytest.raises(RuntimeError, match="killed"):
        trainer(tmp_path, Export()).fit(Broken(), loader(), loader(1))
    assert [p.name for p in tmp_path.rglob("*.txt")] == ["old.txt"]
    trainer(tmp_path, Export()).fit(Line(), loader(), loader(1))
    assert [p.name for p in tmp_path.rglob("*.txt")] == ["line.txt"]


@pytest.mark.parametrize("folder", [".", "..", "/tmp/x"])
def test_an_export_over_the_run_itself_is_refused(folder):
    with pytest.raises(BolidError, match="Export"):
        Export(folder)


class Slow(Dataset):
    def __init__(self, pause):
        self.pause = pause

    def __len__(self):
        return 24

    def __getitem__(self, index):
        time.sleep(self.pause / 3)  # three samples a batch
        return torch.rand(2)


@pytest.mark.parametrize(("waiting", "working"), [(0.03, 0.01), (0.0, 0.03)])
def test_throughput_is_measured(tmp_path, waiting, working):
    class Working(Line):
        def training_step(self, batch, batch_idx):
            time.sleep(working)
            return super().training_step(batch, batch_idx)

    logger, folder = LOGGERS["csv"](tmp_path)
    run = trainer(tmp_path, Throughput(), logger=logger, log_every_n_steps=4, max_epochs=1)
    run.fit(Working(), DataLoader(Slow(waiting), batch_size=3))
    logged = pd.read_csv(folder / "metrics.csv").iloc[-1]
    assert 1.5 / (waiting + working) < logged["throughput/samples_per_s"] < 3 / (waiting + working)
    assert logged["throughput/data_wait"] == pytest.approx(waiting / (waiting + working), abs=0.3)


def test_epochs_of_a_single_step_are_measured_too(tmp_path):
    logger, folder = LOGGERS["csv"](tmp_path)
    trainer(tmp_path, Throughput(), logger=logger, log_every_n_steps=1, max_epochs=3).fit(Line(), loader(1))
    assert pd.read_csv(folder / "metrics.csv")["throughput/samples_per_s"].gt(0).sum() == 2  # all but the first


def test_batch_sizes():
    batch = torch.zeros(5, 2)
    assert [batch_size(b) for b in (batch, (batch, 1), [batch], {"x": batch}, "abc", 7)] == [5, 5, 5, 5, 3, 1]
