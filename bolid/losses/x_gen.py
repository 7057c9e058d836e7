"""x_gen: the image that a training step would generate, with gradients, for image losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bolid.core.errors import BolidError
from bolid.models.backbones import Backbone, TextCondition
from bolid.models.noise import clean_latents, few_step_scheduler, one_per_group


class Denoising(NamedTuple):
    """State of a training step with B samples.

    Attributes:
        noisy: z_t (B, C, h, w).
        timesteps: (B,).
        predicted: The UNet's prediction, (B, C, h, w).
        scorable: (B,) number of losses that can score each image.
        complete: (B,) bool, whether nothing was dropped.
        text: Encoded captions, without dropout.
        embeds: Embeddings per condition, (B, 1, E), without dropout.
        opposites: Opposite embeddings per condition, (B, 1, E), see `Condition.opposite`.
        time_ids: (B, 6), see `TrainingBatch`.
        groups: (B,) ids; samples of one group share their noise.
    """

    noisy: Tensor
    timesteps: Tensor
    predicted: Tensor
    scorable: Tensor
    complete: Tensor
    text: TextCondition
    embeds: list[Tensor]
    opposites: list[Tensor]
    time_ids: Tensor
    groups: Tensor


class Generated(NamedTuple):
    """Images (n, 3, H, W) in 0..1, and their rows (n,) in the batch."""

    images: Tensor
    rows: Tensor


class Estimator(ABC):
    """Estimates x_gen.

    Args:
        max_samples: Maximum number of images per batch, to save time and memory; those that most losses can score come
            first.
        recompute: Whether to use gradient checkpointing in the VAE decoder.

    Attributes:
        shares_pose: Whether images have the target photo's pose and position.
    """

    shares_pose: bool

    def __init__(self, max_samples: int | None = None, recompute: bool = False):
        check_positive(max_samples=max_samples)
        self.max_samples, self.recompute = max_samples, recompute

    @abstractmethod
    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Clean latents (n, C, h, w), and their rows (n,) in the batch."""

    def chosen(self, rows: Tensor, state: Denoising) -> Tensor:
        """At most `max_samples` of the rows (n,) in order: scorable ones first, whole groups only.

        Raises:
            BolidError: If `max_samples` is less than a group.
        """
        # Images that no loss can score would cost a decoding without giving gradients.
        order = rows[state.scorable[rows].argsort(descending=True, stable=True)]
        kept, left = order[: self.max_samples], order[len(order) if self.max_samples is None else self.max_samples :]
        parted = state.groups[left[state.scorable[left] > 0]]  # differences within a group need all of its samples
        whole = kept[~torch.isin(state.groups[kept], parted)]
        if len(kept) and not len(whole):
            raise BolidError(f"x_gen.max_samples={self.max_samples} is less than a group of samples that share noise")
        return whole.sort().values

    def __call__(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> Generated:
        """The images, with gradients to the weights of the conditions."""
        latents, rows = self.latents(backbone, state, generator)
        if not len(rows):  # attention fails on empty batches
            size = (side * backbone.latent_scale for side in latents.shape[2:])
            return Generated(latents.new_zeros(0, 3, *size), rows)
        # The decoder's activations at full resolution take most of the memory.
        if self.recompute and latents.requires_grad:
            decoded = checkpoint(backbone.decode_latents, latents, use_reentrant=False)
        else:
            decoded = backbone.decode_latents(latents)
        return Generated((decoded.float() * 0.5 + 0.5).clamp(0, 1), rows)


class OneStep(Estimator):
    """x̂_0 from z_t in one step, for samples at low noise.

    Args:
        max_timestep: Upper limit of timesteps, of the scheduler's (usually 1000); at higher ones x̂_0 is blurred.
        max_samples: See `Estimator`, as `recompute`.
    """

    shares_pose = True

    def __init__(self, max_timestep: int = 500, max_samples: int | None = None, recompute: bool = False):
        super().__init__(max_samples, recompute)
        check_positive(max_timestep=max_timestep)
        self.max_timestep = max_timestep

    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Estimator.latents`."""
        # A sample with dropped inputs is not an image of its caption and identity.
        clear = torch.nonzero((state.timesteps < self.max_timestep) & state.complete)[:, 0]
        rows = self.chosen(clear, state)
        part = (values[rows] for values in (state.noisy, state.timesteps, state.predicted))
        return clean_latents(backbone.noise_scheduler, *part), rows


class FewStep(Estimator):
    """Deterministic generation from pure noise in N steps, with gradients through the last k.

    Samples of one group share their noise, so that their images differ by the conditions only. With a distilled UNet
    few steps are enough (the Lightning branch of PuLID, Guo et al. 2024).

    Args:
        steps: N.
        grad_steps: k.
        guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off, as for a distilled UNet; others blur
            without guidance.
        negative_body: Whether the negative condition is −c_body instead of zeros.
        max_samples: See `Estimator`, as `recompute`.
    """

    shares_pose = False

    def __init__(
        self,
        steps: int = 4,
        grad_steps: int = 1,
        guidance_scale: float = 1.0,
        negative_body: bool = False,
        max_samples: int | None = None,
        recompute: bool = False,
    ):
        super().__init__(max_samples, recompute)
        check_positive(steps=steps, grad_steps=grad_steps)
        self.steps, self.grad_steps, self.guidance_scale = steps, grad_steps, guidance_scale
        self.negative_body = negative_body

    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Estimator.latents`."""
        rows = self.chosen(torch.arange(len(state.noisy), device=state.noisy.device), state)
        scheduler = few_step_scheduler(backbone.pipeline.scheduler, self.steps, state.noisy.device)
        text, time_ids = state.text.take(rows), state.time_ids[rows]
        embeds = [e[rows] for e in state.embeds]
        negatives = [e[rows] if self.negative_body else torch.zeros_like(e[rows]) for e in state.opposites]
        # Zero embeddings give exact no-ops, so that the unconditional pass has no gradient to the conditions.
        guided, learns = self.guidance_scale > 1, any(bool(e.any()) for e in negatives)
        if guided:
            nothing = text.where(
                torch.zeros(len(rows), dtype=torch.bool, device=rows.device), backbone.encode_nothing()
            )
        latents = self._noise(state, generator)[rows]
        for number, timestep in enumerate(scheduler.timesteps):
            with torch.set_grad_enabled(torch.is_grad_enabled() and number >= self.steps - self.grad_steps):
                predicted = backbone.predict(latents, timestep, text, embeds, time_ids).float()
                if guided:
                    with torch.set_grad_enabled(torch.is_grad_enabled() and learns):
                        free = backbone.predict(latents, timestep, nothing, negatives, time_ids).float()
                    predicted = free + self.guidance_scale * (predicted - free)
                latents = scheduler.step(predicted, timestep, latents).prev_sample
        return latents, rows

    def _noise(self, state: Denoising, generator: torch.Generator) -> Tensor:
        """Noise (B, C, h, w), the same within each group."""
        shape, device = state.noisy.shape[1:], state.noisy.device
        return one_per_group(lambda count: torch.randn(count, *shape, generator=generator, device=device), state.groups)


def check_positive(**settings: int | None) -> None:
    """Refuses settings below 1.

    Raises:
        BolidError: If there is one.
    """
    for name, value in settings.items():
        if value is not None and value < 1:
            raise BolidError(f"x_gen: {name}={value} must be 1 or more")
