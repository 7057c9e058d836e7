"""Writes the report at the end of a test."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.utilities import rank_zero_info

from bolid.callbacks.folder import run_folder
from bolid.evaluation.report import write_report


class WriteReport(Callback):
    """Writes the task's `report()` to `report.json`, `report.md` and `sheet.png` in the run's folder.

    Args:
        max_rows: Maximum number of rows of the image sheet.
    """

    def __init__(self, max_rows: int = 8) -> None:
        self.max_rows = max_rows

    def on_test_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Computes the report on every rank, since metrics are reduced over ranks; the first one writes it."""
        report, folder = pl_module.report(), run_folder(trainer)
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            for path in write_report(report, folder, self.max_rows):
                rank_zero_info(f"wrote {path}")
