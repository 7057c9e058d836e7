"""Base class of tasks: optimiser, randomness per step, checkpoints of the trained weights only."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.data.datamodule import IdentityDataModule
from bolid.tasks.checkpoints import FORMAT, VERSION, check_format, read_checkpoint
from bolid.tasks.configured import config_of, task_of
from bolid.tasks.coverage import Part, check_coverage
from bolid.tasks.run import prepare_run

LENGTH = ("total_steps", "_schedule_phases")  # entries of a scheduler's state that hold its length


class BaseTask(LightningModule, ABC):
    """Trains and saves only the parameters that require a gradient.

    Args:
        optimizer: Optimiser of the trained parameters.
        scheduler: Learning-rate scheduler, stepped once per optimiser step; None keeps the rate constant. One that
            takes `total_steps`, such as OneCycleLR, receives the trainer's `max_steps`.
        init_from: Checkpoint or exported folder whose weights a fit (a warm start; `--ckpt_path` resumes instead),
            validation, test or prediction starts from.
        seed: Seed of noise, timesteps and dropout, which depend only on it, the step and the rank.
    """

    trained_buffers: tuple[str, ...] = ()  # names of updated buffers in the state dict

    def __init__(
        self,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        init_from: Path | None = None,
        seed: int = 0,
    ):
        super().__init__()
        self.optimizer, self.scheduler, self.init_from, self.seed = optimizer, scheduler, init_from, seed
        self.started = False
        self.strict_loading = False  # checkpoints hold only what was trained

    @property
    def frozen_dtype(self) -> str:
        """Dtype of the frozen weights that gradients pass through."""
        return "float32"

    def configure_callbacks(self) -> list[Callback]:
        """Returns no callbacks; Lightning calls it first in a run, so it prepares the trainer."""
        prepare_run(self.trainer, self.frozen_dtype)
        return []

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimiser of the trained parameters, and the scheduler by step."""
        optimizer = self.optimizer([p for p in self.parameters() if p.requires_grad])
        if self.scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self._schedule(optimizer), "interval": "step"}}

    def _schedule(self, optimizer: torch.optim.Optimizer) -> Any:
        make: Any = self.scheduler
        if not takes_total_steps(make):
            return make(optimizer)
        steps = self.trainer.max_steps if self.trainer.max_steps > 0 else self.trainer.estimated_stepping_batches
        if not isfinite(steps):
            raise BolidError("the schedule of the learning rate ends with the fit: set trainer.max_steps")
        if not getattr(self.trainer, "fast_dev_run", False):
            check_total_steps(make.keywords, int(steps))
        return make(optimizer, total_steps=int(steps))

    def step_generator(self) -> torch.Generator:
        """Generator of this training step, a function of seed, batch and rank, so that a resumed fit repeats it."""
        return self.generator(1, self.trainer.fit_loop.total_batch_idx, self.global_rank)

    def generator(self, *key: int) -> torch.Generator:
        """A generator on this device seeded by the task's seed and `key`."""
        seed = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(seed >> np.uint64(1)))

    @property
    def data(self) -> IdentityDataModule | None:
        """The trainer's `IdentityDataModule`, or None."""
        trainer: Any = self._trainer
        found = None if trainer is None else trainer.datamodule
        return found if isinstance(found, IdentityDataModule) else None

    def parts(self) -> dict[str, Part]:
        """The losses and conditions that cannot use every training sample, by their keys in the configuration."""
        return {}

    def on_train_start(self) -> None:
        """Refuses a fit in which a part could use almost no sample."""
        loader: Any = self.trainer.train_dataloader
        if isinstance(loader, DataLoader) and (parts := self.parts()):
            check_coverage(loader.dataset, parts)  # type: ignore[arg-type]

    def trained_keys(self) -> set[str]:
        """State-dict names of the trained parameters and buffers."""
        return {name for name, p in self.named_parameters() if p.requires_grad} | set(self.trained_buffers)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drops frozen weights, which are loaded from their own files."""
        kept = self.trained_keys()
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in kept}
        checkpoint[FORMAT] = VERSION

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint that lacks a trained weight, which non-strict loading would ignore.

        A resumed fit may be longer than the one that wrote it: schedulers take the length of this one.
        """
        check_format(checkpoint, "the checkpoint")
        self._check(checkpoint["state_dict"], "the checkpoint")
        self.take_rest(checkpoint)
        for schedule in checkpoint.get("lr_schedulers", []):
            for name in LENGTH:
                schedule.pop(name, None)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, config: str | Path | None = None, **settings: Any
    ) -> Self:
        """Loads a task with the weights of a checkpoint.

        Args:
            checkpoint_path: Checkpoint that a fit of this task wrote.
            config: Configuration of the task; by default the `config.yaml` of its run. It imports what it names, so
                load only runs that you trust.
            settings: Constructor arguments, instead of a configuration.

        Raises:
            BolidError: If the checkpoint is not one of this task, or there is no configuration.
        """
        state = read_checkpoint(Path(checkpoint_path), "checkpoint_path")["state_dict"]
        task = cls(**settings) if settings else task_of(Path(config or config_of(Path(checkpoint_path))), cls)
        task._check(state, str(checkpoint_path))
        task.load_state_dict(state, strict=False)
        task.started = True
        return task

    def on_fit_start(self) -> None:
        """Loads `init_from`: only in this hook is it known whether Lightning loaded a checkpoint."""
        self.warm_start()

    def on_validation_start(self) -> None:
        """See `on_fit_start`."""
        self.warm_start()

    def on_test_start(self) -> None:
        """See `on_fit_start`."""
        self.warm_start()

    def on_predict_start(self) -> None:
        """See `on_fit_start`."""
        self.warm_start()

    def warm_start(self) -> None:
        """Loads the weights of `init_from`, unless a checkpoint was loaded or an earlier command left weights here."""
        if self.init_from is not None and not self.started and self.trainer.ckpt_path is None:
            path = resolve(self.init_from)
            if path.is_dir():
                self.load_exported(path)
            else:
                self._load_checkpoint(path)
        self.started = True

    def load_exported(self, folder: Path) -> None:
        """Loads the weights of a folder that `export` wrote.

        Raises:
            BolidError: If it does not fit this configuration.
        """
        raise BolidError(f"init_from: {type(self).__name__} starts from a .ckpt file, and {folder} is a folder")

    def _load_checkpoint(self, path: Path) -> None:
        found = read_checkpoint(path, "init_from")
        self._check(found["state_dict"], str(path))
        self.load_state_dict(found["state_dict"], strict=False)
        self.take_rest(found)

    def take_rest(self, checkpoint: Mapping[str, Any]) -> None:
        """Restores further entries of a checkpoint, in a resumed fit and in a warm start."""

    def _check(self, state: dict[str, Any], where: str) -> None:
        own = self.state_dict()
        wrong = sorted(k for k in self.trained_keys() if k not in state or state[k].shape != own[k].shape)
        if wrong:
            raise BolidError(
                f"{where} was not written by this configuration: it lacks {len(wrong)} trained tensors, or they have "
                f"other shapes, such as {wrong[0]}"
            )

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Writes what inference needs into `folder`; the `Export` callback calls it at the end of a fit."""


def takes_total_steps(make: Any) -> bool:
    """Whether a scheduler's factory, a `partial` of its class, takes `total_steps`."""
    if not isinstance(make, partial):
        return False
    kinds = [part for part in (make.func, *make.args) if isinstance(part, type) and issubclass(part, LRScheduler)]
    given = make.keywords
    by_epochs = given.get("epochs") is not None and given.get("steps_per_epoch") is not None
    return bool(kinds) and "total_steps" in inspect.signature(kinds[0]).parameters and not by_epochs


def check_total_steps(settings: Mapping[str, Any], steps: int) -> None:
    """Refuses a scheduler whose `total_steps` differs from the length of the fit.

    Args:
        settings: Settings of the scheduler.
        steps: Length of the fit in optimiser steps.

    Raises:
        BolidError: If it does.
    """
    written = settings.get("total_steps")
    if written is not None and written != steps:
        raise BolidError(
            f"scheduler: total_steps={written}, but the fit has {steps} (trainer.max_steps); leave total_steps out, it "
            "follows from that"
        )
