"""Stable Diffusion 1.x and 2.x: one text encoder."""

from __future__ import annotations

from typing import Any, ClassVar

from diffusers import StableDiffusionPipeline
from torch import Tensor

from bolid.models.backbones.base import Backbone, TextCondition


class StableDiffusion(Backbone):
    """A frozen Stable Diffusion 1.x or 2.x. See `Backbone` for the arguments."""

    kind = "StableDiffusion"
    pipeline_class = StableDiffusionPipeline

    # safety checker and image encoder are unused, and many folders lack them
    pipeline_arguments: ClassVar[dict[str, Any]] = {
        "safety_checker": None,
        "requires_safety_checker": False,
        "feature_extractor": None,
        "image_encoder": None,
    }

    def encode_prompt(self, captions: list[str]) -> TextCondition:
        """(B, L, D), as by `StableDiffusionPipeline.encode_prompt`."""
        device = self.text_encoder.device
        return TextCondition(self.pipeline.encode_prompt(captions, device, 1, False)[0])

    def predict(
        self, noisy: Tensor, timesteps: Tensor, text: TextCondition, embeds: list[Tensor], time_ids: Tensor
    ) -> Tensor:
        """See `Backbone.predict`; `time_ids` is not used by this family."""
        added = {"image_embeds": embeds} if embeds else None
        with self.mixed():
            return self.unet(
                noisy.to(self.dtype), timesteps, encoder_hidden_states=text.hidden, added_cond_kwargs=added
            ).sample
