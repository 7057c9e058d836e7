"""Stable Diffusion XL: two text encoders, a pooled text vector, size and crop conditions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor

from bolid.models.backbones.base import Backbone, TextCondition


class StableDiffusionXL(Backbone):
    """A frozen SDXL. See `Backbone` for the arguments."""

    kind = "StableDiffusionXL"
    pipeline_class = StableDiffusionXLPipeline

    # the image encoder is unused, and many folders lack it
    pipeline_arguments: ClassVar[dict[str, Any]] = {"feature_extractor": None, "image_encoder": None}

    def encode_prompt(self, captions: list[str]) -> TextCondition:
        """Hidden (B, L, D1 + D2) and pooled (B, P), as by `StableDiffusionXLPipeline.encode_prompt`."""
        device = self.text_encoder.device
        hidden, _, pooled, _ = self.pipeline.encode_prompt(
            captions, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return TextCondition(hidden, pooled)

    def encode_nothing(self) -> TextCondition:
        """Zeros if the model's configuration says so, as in stock diffusers; see `Backbone`."""
        empty = self.encode_prompt([""])
        if self.pipeline.config.force_zeros_for_empty_prompt:
            return TextCondition(*(torch.zeros_like(x) for x in empty if x is not None))
        return empty

    def predict(
        self, noisy: Tensor, timesteps: Tensor, text: TextCondition, embeds: list[Tensor], time_ids: Tensor
    ) -> Tensor:
        """See `Backbone.predict`."""
        added: dict[str, Any] = {"text_embeds": text.pooled, "time_ids": time_ids.to(text.hidden.dtype)}
        if embeds:
            added["image_embeds"] = embeds
        with self.mixed():
            return self.unet(
                noisy.to(self.dtype), timesteps, encoder_hidden_states=text.hidden, added_cond_kwargs=added
            ).sample
