"""Steps whose gradient is not finite are skipped; a fit that makes nothing else ends."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch.optim import Optimizer

from bolid.core.errors import BolidError


class SkipNonFinite(Callback):
    """Leaves the weights as they are where a gradient is infinite or not a number, and counts how often.

    A loss that is not finite gives such gradients, on all ranks alike once they are averaged. Logs
    `train/skipped_steps`, how many there were since the fit began or was resumed. In half precision by `16-mixed` it
    leaves the matter to the gradients' scaler.

    Args:
        patience: Skipped steps in a row that end the fit.
    """

    def __init__(self, patience: int = 5) -> None:
        self.patience = patience
        self.skipped = self.in_a_row = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts anew."""
        self.skipped = self.in_a_row = 0

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Optimisers leave parameters without a gradient alone.

        Raises:
            BolidError: After `patience` such steps in a row.
        """
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return  # with 16-mixed, gradients overflow on purpose until their scale fits
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        if not gradients or torch.stack([g.isfinite().all() for g in gradients]).all().item():
            self.in_a_row = 0
        else:
            self._skip(trainer, optimizer)
        pl_module.log("train/skipped_steps", float(self.skipped))

    def _skip(self, trainer: Trainer, optimizer: Optimizer) -> None:
        self.skipped += 1
        self.in_a_row += 1
        if self.in_a_row >= self.patience:
            raise BolidError(
                f"step {trainer.global_step}: the gradient was not finite {self.in_a_row} times in a row; lower the "
                "learning rate or the losses' weights, or use another precision, and go on from the last checkpoint"
            )
        rank_zero_warn(f"step {trainer.global_step}: the gradient is not finite; the step is skipped")
        optimizer.zero_grad(set_to_none=True)
