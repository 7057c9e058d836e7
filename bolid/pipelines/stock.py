"""The interface of `DiffusionPipeline` besides its call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch

from bolid.models.backbones.base import keep_in_float32

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffusers import DiffusionPipeline, SchedulerMixin

    from bolid.conditions import Condition
    from bolid.models.backbones import Backbone


class StockPipeline:
    """Delegates to the stock diffusers pipeline of its backbone, whose networks and methods keep their names.

    `unet`, `vae` (and its `enable_tiling`), `enable_model_cpu_offload`, `set_progress_bar_config`, `load_lora_weights`
    and all others are those of the stock pipeline.

    Attributes:
        backbone: The frozen base model.
        conditions: Conditions installed in its UNet, by name.
    """

    backbone: Backbone
    conditions: Mapping[str, Condition]

    def __getattr__(self, name: str) -> Any:
        """Looks up missing attributes in the stock pipeline."""
        if name.startswith("_") or name == "backbone":  # avoids recursion before `__init__`, such as in unpickling
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.stock, name)

    @property
    def stock(self) -> DiffusionPipeline:
        """The stock pipeline, which shares the networks."""
        return self.backbone.pipeline

    @property
    def components(self) -> dict[str, Any]:
        """Every network, tokenizer and scheduler by name, with the conditions."""
        return {**self.stock.components, **self.conditions}

    @property
    def device(self) -> torch.device:
        """The execution device, also if networks are offloaded to the CPU."""
        return self.stock._execution_device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the base model."""
        return self.backbone.dtype

    @property
    def scheduler(self) -> SchedulerMixin:
        """The sampling scheduler; to replace it, set one made by `from_config` of its config."""
        return self.stock.scheduler

    @scheduler.setter
    def scheduler(self, scheduler: SchedulerMixin) -> None:
        self.stock.scheduler = scheduler

    def to(self, *where: torch.device | str | torch.dtype, **named: Any) -> Self:
        """Moves every network to a device, casts the base model to a type, or both, as `DiffusionPipeline.to` does.

        The encoders of photos in the conditions stay in float32.
        """
        self.stock.to(*where, **named)
        keep_in_float32(self.vae)
        # Projectors, K and V are part of the UNet; this moves the encoders.
        for condition in self.conditions.values():
            condition.to(self.device)
        return self
