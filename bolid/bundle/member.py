"""Base class of the bundle's tasks: a test scores the exported network."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import Report
from bolid.metrics.base import ImageMetric, real_pictures
from bolid.tasks.base import BaseTask


class MemberTask(BaseTask):
    """Trains a network of the bundle; a test evaluates the exported network, loaded by the users' class.

    `init_from` may be the folder of an exported network, such as `data/tiny/face`, for a test.
    """

    score: Any  # the test's metric; typed Any for mypy

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.exported: Path | None = None
        self.score, self.tested = None, 0

    @abstractmethod
    def new_score(self, folder: Path) -> ImageMetric:
        """The metric of a test, for the network exported to `folder`."""

    def load_exported(self, folder: Path) -> None:
        """Accepts an exported network for a test only.

        Raises:
            BolidError: In other commands.
        """
        if self.trainer.state.fn != "test":
            raise BolidError(f"init_from: {folder} is an exported network, which only a test takes; give a .ckpt file")
        self.exported = folder

    def on_test_start(self) -> None:
        """Exports the network and resets the score."""
        super().on_test_start()
        with TemporaryDirectory() as scratch:
            if self.exported is None:
                self.export(Path(scratch))
            self.score = self.new_score(Path(scratch) if self.exported is None else resolve(self.exported))
        self.score.to(self.device)
        self.tested = 0

    def test_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Updates the score on held-out photos."""
        self.score.update(real_pictures(batch), batch)
        self.tested += len(batch)

    def on_test_epoch_end(self) -> None:
        """Logs every metric as test/<metric>."""
        self.log_dict({f"test/{name}": value for name, value in self.score.compute().items()})

    def report(self) -> Report:
        """The report of the test over all ranks. Collective."""
        values = {name: float(value) for name, value in self.score.compute().items()}
        pictures = self.trainer.strategy.reduce(torch.tensor(self.tested, device=self.device), reduce_op="sum")
        return Report(values, int(pictures), self.seed, descriptions=self.score.describes)
