"""Lock of a run's folder: one fit at a time writes into it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from bolid.core.errors import BolidError
from bolid.tasks.checkpoints import PART

_held: set[int] = set()  # file descriptors


def _let_go() -> None:
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)  # a worker that outlives its killed parent must not hold on to the lock


def refuse_used(trainer: Trainer) -> None:
    """Refuses to start a new fit in the folder of another fit's checkpoints.

    Raises:
        BolidError: If the run's folder holds checkpoints.
    """
    folder = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints"
    if trainer.checkpoint_callbacks and trainer.ckpt_path is None and any(folder.glob("*.ckpt")):
        raise BolidError(
            f"{folder} holds another fit's checkpoints: resume it by `--ckpt_path last`, or give this one another "
            "folder (the logger's version or name)"
        )


class RunLock(Callback):
    """Refuses a fit in the folder of another running fit, on this machine or on a shared disk.

    The operating system releases the lock however a process ends.
    """

    def __init__(self) -> None:
        self.file: int | None = None
        self.path = Path()

    def setup(self, trainer: Any, pl_module: LightningModule, stage: str) -> None:
        """Locks the folder on the first rank, and broadcasts the result.

        Raises:
            BolidError: If another fit is running there.
        """
        if stage != "fit" or trainer.fast_dev_run or not (trainer.loggers or trainer.checkpoint_callbacks):
            return
        folder = Path(trainer.log_dir or trainer.default_root_dir)
        free = trainer.strategy.broadcast(self._lock(folder) if trainer.is_global_zero else None)
        if not free:
            raise BolidError(
                f"{folder}: another fit is running there; wait for its end, or give this one another folder (the "
                "logger's version or name)"
            )

    def on_fit_start(self, trainer: Any, pl_module: LightningModule) -> None:
        """Checks for other checkpoints, since only now is it known whether the fit resumes; removes partial files.

        Raises:
            BolidError: See `refuse_used`.
        """
        if not trainer.fast_dev_run:
            refuse_used(trainer)
        folders = {getattr(callback, "dirpath", None) for callback in trainer.checkpoint_callbacks}
        for folder in filter(None, folders if self.file is not None else ()):
            for part in Path(folder).glob(PART):
                part.unlink(missing_ok=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Releases the lock."""
        self._unlock()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Releases the lock."""
        self._unlock()

    def _lock(self, folder: Path) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ".lock"
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            if self.path.exists() and os.path.samestat(os.fstat(file), os.stat(self.path)):
                self.file = file
                _held.add(file)
                return True
            os.close(file)  # its holder has just deleted the file

    def _unlock(self) -> None:
        if self.file in _held:
            self.path.unlink(missing_ok=True)
            _held.discard(self.file)
            os.close(self.file)
        self.file = None
