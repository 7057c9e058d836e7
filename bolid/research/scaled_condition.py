"""Callback that scales a condition's effect at the start of a fit."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from lightning.pytorch import Callback, Trainer

from bolid.core.errors import BolidError
from bolid.core.names import check_known


class ScaleCondition(Callback):
    """Multiplies V of a condition once at the start of a fit, equivalent to a factor on λ.

    It applies after a warm start, but not in a resumed fit, validation, test or prediction.

    Args:
        condition: Name of the condition.
        factor: Positive factor.

    Raises:
        BolidError: If the factor is not above 0.
    """

    def __init__(self, condition: str, factor: float) -> None:
        if not factor > 0:
            raise BolidError(f"ScaleCondition: factor={factor} must be above 0")
        self.condition, self.factor, self.done = condition, factor, False

    @property
    def state_key(self) -> str:
        """Key of the state, since a fit may have several of these callbacks."""
        return f"{type(self).__name__}.{self.condition}"

    @torch.no_grad()
    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Scales V once the weights are loaded."""
        check_known([self.condition], list(pl_module.conditions), "ScaleCondition", "condition")
        if self.done or trainer.ckpt_path is not None:
            return
        pl_module.warm_start()
        number = list(pl_module.conditions).index(self.condition)
        for processor in pl_module.backbone.unet.attn_processors.values():
            if isinstance(processor, IPAdapterAttnProcessor2_0):
                processor.to_v_ip[number].weight.mul_(self.factor)
        self.done = True

    def state_dict(self) -> dict[str, bool]:
        """Whether the scaling was applied."""
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, bool]) -> None:
        """Restores the flag, so that the scaling is not repeated."""
        self.done = state_dict["done"]
