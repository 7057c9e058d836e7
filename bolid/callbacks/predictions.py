"""Writes the images of `bolid predict`."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import BasePredictionWriter

from bolid.callbacks.folder import run_folder
from bolid.core.photos import generated_mark
from bolid.core.pictures import to_image
from bolid.core.safe_io import atomic_path
from bolid.core.schema import TrainingBatch


class WritePictures(BasePredictionWriter):
    """Writes each image to `predictions/<method>/<photo>.png` in the run's folder."""

    def __init__(self) -> None:
        super().__init__("batch")

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: Any, prediction: Any, batch_indices: Any, batch: TrainingBatch, *numbers: int
    ) -> None:
        """`prediction` holds one `SheetRow` per sample of the batch; files are named after the target photo."""
        for name, row in zip(batch.file_names, prediction, strict=True):
            for method, image in row.images.items():
                path = run_folder(trainer) / "predictions" / method / PurePosixPath(name).with_suffix(".png")
                with atomic_path(path) as temporary:
                    to_image(image).save(temporary, format="PNG", pnginfo=generated_mark())
