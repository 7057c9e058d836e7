"""How L_diff trains, and what of its inputs is dropped."""

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
    """How L_diff trains.

    Attributes:
        text_dropout: Share of samples in which only the caption is dropped.
        all_dropout: Share of samples in which everything is dropped.
        min_snr_gamma: γ of min-SNR weighting, None for none.
        noise_offset: See `noised`.
        shift: Of the timesteps towards pure noise, above 1; see `noised`. Bodies' outlines are decided at 600 to 850.
        person_weight: Extra weight of the person's latent cells; see `person_weight`.
        cache_latents: Whether the latents of photos are kept in memory from epoch to epoch.
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
    """What the UNet may receive of B samples, and what is dropped.

    Attributes:
        text: Captions.
        embeds: Per condition (B, 1, E).
        drop_text: (B,) bool.
        drop: Per condition (B,) bool.
    """

    text: TextCondition
    embeds: list[Tensor]
    drop_text: Tensor
    drop: list[Tensor]

    def kept(self, nothing: TextCondition) -> tuple[TextCondition, list[Tensor]]:
        """What is left: `nothing` in place of dropped captions, zeros in place of dropped embeddings."""
        left = [e * ~d[:, None, None] for e, d in zip(self.embeds, self.drop, strict=True)]
        return self.text.where(~self.drop_text, nothing), left

    @property
    def complete(self) -> Tensor:
        """(B,) bool, of which samples nothing is dropped."""
        return ~torch.stack([self.drop_text, *self.drop]).any(0)
