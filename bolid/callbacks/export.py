"""Exports the adapter at the end of a fit."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer

from bolid.callbacks.folder import run_folder
from bolid.core.safe_io import atomic_folder, check_relative


class Export(Callback):
    """Calls the task's `export(folder)` at the end of a fit, with the averaged weights if there is an `EMA`.

    Args:
        folder: Folder name within the run's folder; an earlier export in it is replaced.
    """

    def __init__(self, folder: str = "adapter") -> None:
        self.folder = check_relative(folder, "Export")

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Exports here, since `EMA` swaps its weights in one hook earlier, in `on_train_end`."""
        folder = run_folder(trainer) / self.folder
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            with atomic_folder(folder) as part:  # a killed export must not look complete
                pl_module.export(part)
