"""Distribution of training timesteps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class NoiseLevels:
    """Timesteps shifted towards pure noise, where the caption alone determines the image.

    A shift alone undertrains low noise, which leaves grain in flat areas: a share of each batch is uniform.

    Attributes:
        shift: s above 1 moves a share u of the timesteps to s·u / (1 + (s - 1)·u) (Esser et al. 2024, equation 23).
        even: Share of the samples that are not shifted.
        late: Share of the fit's steps after which `late_shift` takes the place of `shift`.
        late_shift: Below 1: towards low noise, where faces and hands are finished.
    """

    shift: float = 3.0
    even: float = 0.0
    late: float = 1.0
    late_shift: float = 1.0

    def draw(self, count: int, timesteps: int, progress: float, generator: torch.Generator) -> Tensor:
        """Timesteps of `count` samples or groups of them, (count,) int64 below `timesteps`.

        They are one of every count-th part of the levels, which makes the loss vary less (Kingma et al. 2021,
        appendix I.1).

        Args:
            count: Number of samples.
            timesteps: Number of timesteps of the noise schedule.
            progress: Share of the fit's steps that are done.
            generator: On any device.
        """
        uniform = torch.rand(2, count, generator=generator, device=generator.device)
        share = (torch.randperm(count, generator=generator, device=generator.device) + uniform[0]) / count
        shift = self.shift if progress < self.late else self.late_shift
        shifted = shift * share / (1 + (shift - 1) * share)
        share = torch.where(uniform[1] < self.even, share, shifted)
        return (share * timesteps).long().clamp_max(timesteps - 1)
