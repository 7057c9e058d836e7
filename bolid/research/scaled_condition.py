"""A fit that starts with a condition whose effect is larger or smaller than it was trained to be."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from lightning.pytorch import Callback, Trainer

from bolid.core.errors import BolidError
from bolid.core.names import check_known


class ScaleCondition(Callback):
    """Multiplies V of a condition once, when a fit starts, as λ multiplies what comes out of it.

    After a warm start, never where a fit is resumed, and never in a validation, test or prediction.

    Args:
        condition: Its name.
        factor: Above 0.

    Raises:
        BolidError: If the factor is not above 0.
    """

    def __init__(self, condition: str, factor: float) -> None:
        if not factor > 0:
            raise BolidError(f"ScaleCondition: factor={factor} must be above 0")
        self.condition, self.factor, self.done = condition, factor, False

    @property
    def state_key(self) -> str:
        """Several of them may be in one fit."""
        return f"{type(self).__name__}.{self.condition}"

    @torch.no_grad()
    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Before anything looks at the weights; a callback's hook runs before the task's."""
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
        """Whether it has been done."""
        return {"done": self.done}

    def load_state_dict(self, state_dict: dict[str, bool]) -> None:
        """It is not done again."""
        self.done = state_dict["done"]
