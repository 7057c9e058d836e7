"""Skips steps with a non-finite gradient, and ends a fit that has no others."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim import Optimizer

from bolid.core.errors import BolidError

REMEDY = "lower the learning rate or the losses' weights, or use another precision"


class SkipNonFinite(Callback):
    """Skips optimiser steps in which a gradient is infinite or NaN, and counts them.

    A non-finite loss gives such gradients, on all ranks once they are averaged. Logs `train/skipped_steps`, the number
    since the fit started or resumed. With `16-mixed`, gradients overflow until the scaler has found its scale: the
    scaler skips these steps, and more of them are allowed.

    Args:
        patience: Number of consecutive skipped steps that ends the fit.
        scaler_patience: The same with a gradient scaler; each such step halves the scale, which starts at 65536.
    """

    def __init__(self, patience: int = 5, scaler_patience: int = 24) -> None:
        if min(patience, scaler_patience) < 1:
            raise BolidError(
                f"SkipNonFinite: patience={patience} and scaler_patience={scaler_patience} must be 1 or more"
            )
        self.patience, self.scaler_patience = patience, scaler_patience
        self.steps = self.skipped = self.in_a_row = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Resets the counts."""
        self.steps = self.skipped = self.in_a_row = 0

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Removes non-finite gradients: optimisers skip parameters without a gradient.

        Raises:
            BolidError: After `patience` such steps in a row.
        """
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        self.steps += 1
        if not gradients or torch.stack([g.isfinite().all() for g in gradients]).all().item():
            self.in_a_row = 0
        else:
            self._skip(trainer, optimizer)
        pl_module.log("train/skipped_steps", float(self.skipped))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses to export untrained weights.

        Raises:
            BolidError: If every step was skipped.
        """
        if self.steps and self.skipped == self.steps:
            raise BolidError(f"all {self.steps} steps were skipped, since no gradient was finite: nothing has changed; "
                             + REMEDY)  # fmt: skip

    def _skip(self, trainer: Trainer, optimizer: Optimizer) -> None:
        self.skipped += 1
        self.in_a_row += 1
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if self.in_a_row >= (self.scaler_patience if scaled else self.patience):
            raise BolidError(
                f"step {trainer.global_step}: the gradient was not finite {self.in_a_row} times in a row; {REMEDY}, "
                "and resume from the last checkpoint"
            )
        if not scaled:  # a scaler skips the step itself
            rank_zero_warn(f"step {trainer.global_step}: the gradient is not finite; the step is skipped")
            optimizer.zero_grad(set_to_none=True)
