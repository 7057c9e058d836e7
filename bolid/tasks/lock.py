"""One fit at a time writes into a folder."""

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
    """A fit that does not go on with another one's checkpoints does not mix its own with them.

    Raises:
        BolidError: If the run's folder holds some.
    """
    folder = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints"
    if trainer.checkpoint_callbacks and trainer.ckpt_path is None and any(folder.glob("*.ckpt")):
        raise BolidError(
            f"{folder} holds another fit's checkpoints: go on with it by `--ckpt_path last`, or give this one another "
            "folder (the logger's version or name)"
        )


class RunLock(Callback):
    """Refuses a fit into the folder of a fit that is still running, on this machine or on another one's share.

    The system gives the lock back whichever way a process ends.
    """

    def __init__(self) -> None:
        self.file: int | None = None
        self.path = Path()

    def setup(self, trainer: Any, pl_module: LightningModule, stage: str) -> None:
        """On the first rank; the others learn whether it may go on.

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
        """Not earlier: only now Lightning knows whether the fit goes on. What a killed fit was writing is removed.

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
        """Gives the folder back."""
        self._unlock()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Gives the folder back."""
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
            os.close(file)  # its holder has just removed it

    def _unlock(self) -> None:
        if self.file in _held:
            self.path.unlink(missing_ok=True)
            _held.discard(self.file)
            os.close(self.file)
        self.file = None
