"""What users of diffusers expect of a pipeline beside its call."""

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
    """Behaves as the stock diffusers pipeline of its backbone, whose networks and methods it offers under their names.

    `unet`, `vae` (and its `enable_tiling`), `enable_model_cpu_offload`, `set_progress_bar_config`, `load_lora_weights`
    and all others are those of the stock pipeline.

    Attributes:
        backbone: The frozen base model.
        conditions: What is installed in its UNet, by name.
    """

    backbone: Backbone
    conditions: Mapping[str, Condition]

    def __getattr__(self, name: str) -> Any:
        """What this class lacks, the stock pipeline may have."""
        if name.startswith("_") or name == "backbone":  # before `__init__`, such as when it is unpickled
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.stock, name)

    @property
    def stock(self) -> DiffusionPipeline:
        """The stock pipeline, over the same networks."""
        return self.backbone.pipeline

    @property
    def components(self) -> dict[str, Any]:
        """Every network, tokenizer and scheduler by name, the conditions among them."""
        return {**self.stock.components, **self.conditions}

    @property
    def device(self) -> torch.device:
        """Where it computes, which is not where networks wait if they are offloaded."""
        return self.stock._execution_device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the base model."""
        return self.backbone.dtype

    @property
    def scheduler(self) -> SchedulerMixin:
        """What denoises; another one can be set, made by `from_config` of this one's."""
        return self.stock.scheduler

    @scheduler.setter
    def scheduler(self, scheduler: SchedulerMixin) -> None:
        self.stock.scheduler = scheduler

    def to(self, *where: torch.device | str | torch.dtype, **named: Any) -> Self:
        """Moves every network to a device, casts the base model to a type, or both, as `DiffusionPipeline.to` does.

        The conditions' encoders read photos, and stay in float32.
        """
        self.stock.to(*where, **named)
        if self.vae.dtype == torch.float16 and self.vae.config.force_upcast:
            keep_in_float32(self.vae)
        for condition in self.conditions.values():
            condition.to(self.device)
        return self
