"""What every task shares: optimiser, per-step randomness, checkpoints of only what was trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable

from bolid.core.errors import BolidError
from bolid.tasks.checkpoints import read_checkpoint
from bolid.tasks.run import prepare_run


class BaseTask(LightningModule, ABC):
    """Trains the parameters that require a gradient, and saves only them.

    Args:
        optimizer: Of the trained parameters.
        scheduler: Of the learning rate, stepped once an optimiser step; None keeps it constant.
        init_from: Checkpoint to take trained weights from at the start of a fit (a warm start; `--ckpt_path` resumes
            instead), a validation, test or prediction.
        seed: Of the noise, timesteps and drops, which depend only on it, the step and the rank.
    """

    trained_buffers: tuple[str, ...] = ()  # buffers that learn: names in the state dict

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

    def configure_callbacks(self) -> list[Callback]:
        """None of its own; Lightning asks before anything else happens in a run."""
        prepare_run(self.trainer)
        return []

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimiser over what requires a gradient, the schedule by step."""
        optimizer = self.optimizer([p for p in self.parameters() if p.requires_grad])
        if self.scheduler is None:
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.scheduler(optimizer), "interval": "step"}}

    def step_generator(self) -> torch.Generator:
        """Randomness of this training step, the same after a resumption: a function of seed, batch and rank."""
        return self.generator(1, self.trainer.fit_loop.total_batch_idx, self.global_rank)

    def generator(self, *key: int) -> torch.Generator:
        """A generator on this device seeded by the task's seed and `key`."""
        seed = np.random.SeedSequence([self.seed, *key]).generate_state(1, np.uint64)[0]
        return torch.Generator(self.device).manual_seed(int(seed >> np.uint64(1)))

    def of_data(self, name: str, default: Any) -> Any:
        """An attribute of the data module; the default where it has none, or batches come from elsewhere."""
        return getattr(getattr(self._trainer, "datamodule", None), name, default)

    @property
    def alike(self) -> int:
        """How many neighbours in a batch are to get the same noise, timestep and drops.

        In training 2 where they are opposites: what their photos share then weighs on neither side, and what differs is
        due to the body.
        """
        return 2 if self.training and self.of_data("opposites", False) else 1

    def trained_keys(self) -> set[str]:
        """Names in the state dict of what is trained."""
        return {name for name, p in self.named_parameters() if p.requires_grad} | set(self.trained_buffers)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drops frozen weights: they are read from their own files."""
        kept = self.trained_keys()
        checkpoint["state_dict"] = {k: v for k, v in checkpoint["state_dict"].items() if k in kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint that lacks a trained weight, which non-strict loading would pass over in silence."""
        self._check(checkpoint["state_dict"], "the checkpoint")

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, **settings: Any) -> Self:  # type: ignore[override]
        """A task with the weights of a checkpoint.

        Args:
            checkpoint_path: That a fit of such a task wrote.
            settings: All that the class wants to be made of; a checkpoint holds none.

        Raises:
            BolidError: If it is no such checkpoint.
        """
        task, state = cls(**settings), read_checkpoint(Path(checkpoint_path), "checkpoint_path")["state_dict"]
        task._check(state, str(checkpoint_path))
        task.load_state_dict(state, strict=False)
        task.started = True
        return task

    def on_fit_start(self) -> None:
        """Only now, as at the start of the other verbs, is it known whether a checkpoint was loaded."""
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
        """Takes weights from `init_from`, unless a checkpoint was loaded or an earlier verb left weights here."""
        if self.init_from is not None and not self.started and self.trainer.ckpt_path is None:
            state = read_checkpoint(self.init_from, "init_from")["state_dict"]
            self._check(state, str(self.init_from))
            self.load_state_dict(self.warmed(state), strict=False)
        self.started = True

    def warmed(self, state: dict[str, Any]) -> dict[str, Any]:
        """What a warm start takes of a checkpoint's weights: all as they are."""
        return state

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
        """Writes what inference needs into `folder` (the `Export` callback asks for it when a fit ends)."""
