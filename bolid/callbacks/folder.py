"""The output folder of a run."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer


def run_folder(trainer: Trainer) -> Path:
    """The logger's folder, or the trainer's root without a logger. Collective: call it on every rank."""
    return Path(trainer.log_dir or trainer.default_root_dir)
