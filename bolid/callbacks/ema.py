"""An exponential moving average of the trained weights."""

from __future__ import annotations

from typing import Any

from diffusers.training_utils import EMAModel
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import Parameter

from bolid.core.errors import BolidError

KEY = "ema"  # in the checkpoint


class EMA(Callback):
    """Averages the trained weights (diffusers' `EMAModel`) for validation, tests and the export.

    The `state_dict` of a checkpoint holds the averaged weights; the raw weights are in this callback's state, and a
    resumed fit continues from them. At the end of a fit the average stays in place.

    Args:
        decay: Decay of the average per optimiser step, in its limit: at first it is
            (1 + n) / (10 + n) after n steps.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise BolidError(f"EMA: decay={decay} must be 0 or more and below 1")
        self.decay = decay
        self.ema: EMAModel | None = None  # while training
        self.raw: list[Tensor] | None = None  # the raw weights while the model holds the average
        self.resumed: dict[str, Any] | None = None
        self.steps = 0
        self.global_step = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses a second EMA callback.

        Raises:
            BolidError: If there is one.
        """
        if sum(isinstance(callback, EMA) for callback in trainer.callbacks) > 1:  # type: ignore[attr-defined]
            raise BolidError(
                "two EMA callbacks overwrite each other: change the one at hand by its name, callbacks.ema"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the average here: a warm start sets weights in the task's `on_fit_start`, after a callback's."""
        weights = trained(pl_module)
        self.ema = EMAModel(weights.values(), decay=self.decay)
        self.raw, self.steps, self.global_step = None, 0, trainer.global_step
        if self.resumed is not None:  # the checkpoint has loaded the average into the model
            self.ema.optimization_step = self.steps = self.resumed["steps"]
            for name, raw in self.resumed["raw"].items():
                weights[name].data.copy_(raw)
            self.resumed = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Updates the average once per optimiser step, which takes several batches if gradients accumulate."""
        if self.ema is not None and trainer.global_step > self.global_step:
            self.global_step = trainer.global_step
            self.ema.step(trained(pl_module).values())
            self.steps = self.ema.optimization_step

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swaps the average in."""
        self._swap_in(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swaps the raw weights in."""
        self._swap_out(pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Swaps the raw weights in after an error within a validation."""
        self._swap_out(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Swaps the average in for the export and for tests in the same process."""
        self._swap_in(pl_module)
        self.ema = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Saves the average in `state_dict`, and the raw weights under the key `ema`."""
        if self.ema is None and self.raw is None:
            return
        live = [weight.detach() for weight in trained(pl_module).values()]
        average = live if self.ema is None or self.raw is not None else self.ema.shadow_params
        raw = live if self.raw is None else self.raw
        names = list(trained(pl_module))
        checkpoint["state_dict"] |= {name: weight.clone() for name, weight in zip(names, average, strict=True)}
        raw_weights = {name: weight.clone() for name, weight in zip(names, raw, strict=True)}
        checkpoint[KEY] = {"raw": raw_weights, "steps": self.steps}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keeps the raw weights until training starts. A checkpoint without an average starts a new one."""
        self.resumed = checkpoint.get(KEY) if trainer.state.fn == "fit" else None

    def _swap_in(self, pl_module: LightningModule) -> None:
        if self.ema is not None and self.raw is None:
            weights = trained(pl_module).values()
            self.raw = [weight.detach().clone() for weight in weights]
            self.ema.copy_to(weights)

    def _swap_out(self, pl_module: LightningModule) -> None:
        if self.ema is not None and self.raw is not None:
            for weight, raw in zip(trained(pl_module).values(), self.raw, strict=True):
                weight.data.copy_(raw)
            self.raw = None


def trained(module: LightningModule) -> dict[str, Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
