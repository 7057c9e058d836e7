"""A task and a trainer as small as they get."""

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from bolid.evaluation.results import Report, SheetRow
from bolid.metrics.base import Description

FID = {"fid": Description("distance of two sets of features", "lower", smallest=2048)}


class Line(LightningModule):
    """Fits a line; one of its layers is frozen."""

    def __init__(self, start: float | None = None):
        super().__init__()
        torch.manual_seed(0)
        self.frozen, self.line = nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 1)
        self.start, self.seen, self.exported = start, [], []

    def on_fit_start(self):
        if self.start is not None:  # a warm start, as tasks do it
            nn.init.constant_(self.line.weight, self.start)

    def training_step(self, batch, batch_idx):
        return ((self.line(self.frozen(batch)) - 3) ** 2).mean()

    def validation_step(self, batch, batch_idx):
        self.seen.append(self.line.weight.detach().clone())

    def test_step(self, batch, batch_idx):
        self.seen.append(self.line.weight.detach().clone())

    def configure_optimizers(self):
        return torch.optim.Adam(self.line.parameters(), lr=0.1)

    def export(self, folder):
        self.exported.append((folder, self.line.weight.detach().clone()))
        (folder / "line.txt").write_text("a line")

    def sample_grid(self):
        return [SheetRow([torch.rand(3, 24, 16)], {"both": torch.rand(3, 24, 16)}, "a photo of a person")]

    def report(self):
        return Report({"fid/clip/both": 1.0}, pictures=4, seed=0, rows=self.sample_grid(), descriptions=FID)


def loader(steps=4, pause=0.0):
    batch = torch.rand(2, generator=torch.Generator().manual_seed(0))
    return DataLoader([batch] * 3 * steps, batch_size=3)  # always the same batch, so that the order does not matter


def trainer(folder, *callbacks, **kwargs):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    quiet |= {"enable_checkpointing": False, "num_sanity_val_steps": 0, "default_root_dir": folder, "max_epochs": 2}
    return Trainer(callbacks=list(callbacks), **(quiet | kwargs))
