"""What the tasks of the bundle share: a test scores what they export."""

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
    """Trains a member of the bundle; a test measures the exported member, loaded by the class that users load it by.

    `init_from` may be the folder of an exported member, such as `data/tiny/face`, which a test measures.
    """

    score: Any  # the test's metric, a container of networks that mypy would take for a mere Module

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.exported: Path | None = None
        self.score, self.tested = None, 0

    @abstractmethod
    def new_score(self, folder: Path) -> ImageMetric:
        """The metric of a test, around the member that was exported to `folder`."""

    def load_exported(self, folder: Path) -> None:
        """What a test or validation is to measure.

        Raises:
            BolidError: If a fit is to start from it.
        """
        if self.trainer.state.fn == "fit":
            raise BolidError(f"init_from: {folder} is a folder, and a fit of the bundle's members takes a .ckpt file")
        self.exported = folder

    def on_test_start(self) -> None:
        """A new test starts afresh."""
        super().on_test_start()
        with TemporaryDirectory() as scratch:
            if self.exported is None:
                self.export(Path(scratch))
            self.score = self.new_score(Path(scratch) if self.exported is None else resolve(self.exported))
        self.score.to(self.device)
        self.tested = 0

    def test_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Measures the member on held-out photos."""
        self.score.update(real_pictures(batch), batch)
        self.tested += len(batch)

    def on_test_epoch_end(self) -> None:
        """Logs every number as test/<metric>."""
        self.log_dict({f"test/{name}": value for name, value in self.score.compute().items()})

    def report(self) -> Report:
        """What the test measured, on all ranks together; every rank must ask."""
        values = {name: float(value) for name, value in self.score.compute().items()}
        pictures = self.trainer.strategy.reduce(torch.tensor(self.tested, device=self.device), reduce_op="sum")
        return Report(values, int(pictures), self.seed, descriptions=self.score.describes)
