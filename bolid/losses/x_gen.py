"""x_gen: the image that a training step would generate, for losses that look at images, with its gradient."""

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
    """One training step's state: B samples.

    Attributes:
        noisy: z_t (B, C, h, w).
        timesteps: (B,).
        predicted: The UNet's answer, (B, C, h, w).
        scorable: (B,) how many losses can score each one's image.
        complete: (B,) bool, whether neither its caption nor a condition was dropped.
        text: All captions, none dropped.
        embeds: Per condition (B, 1, E), none dropped.
        opposites: Per condition (B, 1, E), the opposite embeddings, see `Condition.opposite`.
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
    """Images (n, 3, H, W) in 0..1, and the rows (n,) of the batch that they are of."""

    images: Tensor
    rows: Tensor


class Estimator(ABC):
    """Makes x_gen.

    Args:
        max_samples: Images of a batch at most, first those that most losses can score: they take time and memory.
        recompute: Whether the decoder runs again on the way back in place of keeping what it computed.

    Attributes:
        shares_pose: Whether an image shows the target photo's own pose and place.
    """

    shares_pose: bool

    def __init__(self, max_samples: int | None = None, recompute: bool = False):
        check_positive(max_samples=max_samples)
        self.max_samples, self.recompute = max_samples, recompute

    @abstractmethod
    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Clean latents (n, C, h, w) and the rows (n,) of the batch that they are of."""

    def chosen(self, rows: Tensor, state: Denoising) -> Tensor:
        """At most `max_samples` of the rows (n,), in their order; those that can be scored first, groups whole.

        Raises:
            BolidError: If no group fits.
        """
        order = rows[state.scorable[rows].argsort(descending=True, stable=True)]
        kept, left = order[: self.max_samples], order[len(order) if self.max_samples is None else self.max_samples :]
        parted = state.groups[left[state.scorable[left] > 0]]  # what differs within a group is only seen in all of it
        whole = kept[~torch.isin(state.groups[kept], parted)]
        if len(kept) and not len(whole):
            raise BolidError(f"x_gen.max_samples={self.max_samples} is less than a group of samples that share noise")
        return whole.sort().values

    def __call__(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> Generated:
        """The images, with gradients to the weights of the conditions."""
        latents, rows = self.latents(backbone, state, generator)
        if not len(rows):  # which no attention can reshape
            size = (side * backbone.latent_scale for side in latents.shape[2:])
            return Generated(latents.new_zeros(0, 3, *size), rows)
        if self.recompute and latents.requires_grad:
            decoded = checkpoint(backbone.decode_latents, latents, use_reentrant=False)
        else:
            decoded = backbone.decode_latents(latents)
        return Generated((decoded.float() * 0.5 + 0.5).clamp(0, 1), rows)


class OneStep(Estimator):
    """x̂_0 straight from z_t, of the samples whose z_t still shows what the image is of.

    Args:
        max_timestep: Only timesteps below it count, out of the scheduler's (usually 1000): later x̂_0 is a blur.
        max_samples: See `Estimator`, as `recompute`.
    """

    shares_pose = True

    def __init__(self, max_timestep: int = 500, max_samples: int | None = None, recompute: bool = False):
        super().__init__(max_samples, recompute)
        check_positive(max_timestep=max_timestep)
        self.max_timestep = max_timestep

    def latents(self, backbone: Backbone, state: Denoising, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `Estimator.latents`."""
        clear = torch.nonzero((state.timesteps < self.max_timestep) & state.complete)[:, 0]
        rows = self.chosen(clear, state)
        part = (values[rows] for values in (state.noisy, state.timesteps, state.predicted))
        return clean_latents(backbone.noise_scheduler, *part), rows


class FewStep(Estimator):
    """A whole deterministic generation from pure noise in N steps, gradients through the last k.

    Samples of one group are generated from the same noise, so that what differs between their images is due to the
    conditions. The Lightning branch: with a distilled UNet few steps are enough (Guo et al. 2024, PuLID).

    Args:
        steps: N.
        grad_steps: k.
        guidance_scale: s in ε = ε_uncond + s·(ε_cond − ε_uncond); 1 is off. A UNet that was not distilled generates a
            blur without.
        negative_body: Whether guidance steers away from the opposite body, and not from no conditions at all.
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
        away = [e[rows] if self.negative_body else torch.zeros_like(e[rows]) for e in state.opposites]
        guided, learns = self.guidance_scale > 1, any(bool(e.any()) for e in away)
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
                        free = backbone.predict(latents, timestep, nothing, away, time_ids).float()
                    predicted = free + self.guidance_scale * (predicted - free)
                latents = scheduler.step(predicted, timestep, latents).prev_sample
        return latents, rows

    def _noise(self, state: Denoising, generator: torch.Generator) -> Tensor:
        """(B, C, h, w), one for each group."""
        shape, device = state.noisy.shape[1:], state.noisy.device
        return one_per_group(lambda count: torch.randn(count, *shape, generator=generator, device=device), state.groups)


def check_positive(**settings: int | None) -> None:
    """Refuses numbers below 1.

    Raises:
        BolidError: If there is one.
    """
    for name, value in settings.items():
        if value is not None and value < 1:
            raise BolidError(f"x_gen: {name}={value} must be 1 or more")
