"""Writes the adapter when a fit ends."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, Trainer

from bolid.callbacks.folder import run_folder
from bolid.core.safe_io import atomic_folder, check_relative


class Export(Callback):
    """Calls the task's `export(folder)` when a fit ends, with the averaged weights if there are any.

    Args:
        folder: Name of the folder within the run's; an earlier export in it is replaced.
    """

    def __init__(self, folder: str = "adapter") -> None:
        self.folder = check_relative(folder, "Export")

    def on_fit_end(self, trainer: Trainer, pl_module: Any) -> None:
        """`EMA` has put its weights in place by now: it does so when training ends, one hook earlier."""
        folder = run_folder(trainer) / self.folder
        if trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False):
            with atomic_folder(folder) as part:  # a killed export must not be taken for a finished one
                pl_module.export(part)
