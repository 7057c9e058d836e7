"""Settings of L_diff, and its inputs with dropout masks."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.models.backbones import TextCondition


@dataclass
class DiffusionSpec:
    """Settings of L_diff: dropout, noise, timesteps and weighting.

    Attributes:
        text_dropout: Share of samples that drop only the caption.
        all_dropout: Share of samples that drop the caption and all conditions.
        min_snr_gamma: γ of min-SNR weighting (https://arxiv.org/abs/2303.09556); None for none.
        noise_offset: See `noised`.
        shift: Shift of timesteps towards pure noise if above 1; see `noised`. Body outlines form at timesteps 600 to
            850.
        person_weight: Extra weight of the person's latent cells; see `person_weight`.
        cache_latents: Whether to keep the latents of photos in memory across epochs.
    """

    text_dropout: float = 0.05
    all_dropout: float = 0.05
    min_snr_gamma: float | None = None
    noise_offset: float = 0.0
    shift: float = 1.0
    person_weight: float = 0.0
    cache_latents: bool = False

    def __post_init__(self) -> None:
        for name in ("text_dropout", "all_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise BolidError(f"diffusion.{name}={getattr(self, name)}; a share lies between 0 and 1")
        if self.min_snr_gamma is not None and not (isfinite(self.min_snr_gamma) and self.min_snr_gamma > 0):
            raise BolidError(f"diffusion.min_snr_gamma={self.min_snr_gamma} must be above 0, or null for none")
        if not (isfinite(self.shift) and self.shift > 0):
            raise BolidError(f"diffusion.shift={self.shift} must be above 0; 1 is none")
        if min(self.noise_offset, self.person_weight) < 0 or not isfinite(self.noise_offset + self.person_weight):
            raise BolidError("diffusion: noise_offset and person_weight must be 0 or more")


AS_PUBLISHED = DiffusionSpec()


class Inputs(NamedTuple):
    """Inputs of the UNet for B samples, and their dropout masks.

    Attributes:
        text: Encoded captions.
        embeds: Embedding of each condition, (B, 1, E).
        drop_text: Whether the caption is dropped, (B,) bool.
        drop: Whether each condition is dropped, (B,) bool.
    """

    text: TextCondition
    embeds: list[Tensor]
    drop_text: Tensor
    drop: list[Tensor]

    def kept(self, nothing: TextCondition) -> tuple[TextCondition, list[Tensor]]:
        """The inputs after dropout: `nothing` replaces dropped captions, zeros replace dropped embeddings."""
        left = [e * ~d[:, None, None] for e, d in zip(self.embeds, self.drop, strict=True)]
        return self.text.where(~self.drop_text, nothing), left

    @property
    def complete(self) -> Tensor:
        """(B,) bool: samples that drop nothing."""
        return ~torch.stack([self.drop_text, *self.drop]).any(0)
