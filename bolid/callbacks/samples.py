"""Generates a fixed grid of samples at every validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng
from PIL import Image

from bolid.callbacks.folder import run_folder
from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path
from bolid.evaluation.sheet import draw_sheet


class SampleGrid(Callback):
    """Writes the task's `sample_grid()` (rows of an image sheet) to `samples/step_000100.png` and to TensorBoard.

    Every rank computes the rows, since ranks may share the work; the first one writes them.

    Args:
        every_n_validations: Interval in validations; generating images takes longer than validating.
    """

    def __init__(self, every_n_validations: int = 1) -> None:
        if every_n_validations < 1:
            raise BolidError(f"SampleGrid: every_n_validations={every_n_validations} must be 1 or more")
        self.every_n_validations = every_n_validations
        self.validations = 0

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Generates before `on_validation_end`, while the averaged weights (`EMA`) are still in place."""
        if trainer.sanity_checking:
            return
        self.validations += 1
        folder = run_folder(trainer)
        if (self.validations - 1) % self.every_n_validations:
            return
        with isolate_rng():  # sampling must not change the random state of training
            rows = pl_module.sample_grid()
        if rows and trainer.is_global_zero:
            title = f"step {trainer.global_step}"
            self._show(trainer, draw_sheet(rows, title), folder / "samples" / f"step_{trainer.global_step:06d}.png")

    def _show(self, trainer: Trainer, sheet: Image.Image, path: Path) -> None:
        if not getattr(trainer, "fast_dev_run", False):
            with atomic_path(path) as temporary:
                sheet.save(temporary)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("samples", np.asarray(sheet), trainer.global_step, dataformats="HWC")

    def state_dict(self) -> dict[str, int]:
        """The number of validations."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Restores the number of validations."""
        self.validations = state_dict["validations"]
