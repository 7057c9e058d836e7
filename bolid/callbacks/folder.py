"""Where a run writes."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer


def run_folder(trainer: Trainer) -> Path:
    """The logger's folder, or the trainer's root without one. Call it on every rank: they agree on the answer."""
    return Path(trainer.log_dir or trainer.default_root_dir)
