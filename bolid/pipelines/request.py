"""What may be asked of the pipeline: checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

from bolid.core.errors import BolidError

STEP = 8  # pixels; what autoencoders of latent diffusion are fed multiples of
MOST_STEPS = 1000  # timesteps that models are trained with


def check_prompts(prompts: Iterable[str | None], what: str = "prompt") -> None:
    """Refuses what no tokenizer can read.

    Raises:
        BolidError: If a prompt is no text, or holds half a character.
    """
    for prompt in prompts:
        try:
            (prompt or "").encode()
        except (UnicodeEncodeError, AttributeError) as error:
            raise BolidError(f"{what}: {prompt!r} is no readable text ({error}); type it anew") from error


def check_request(
    size: tuple[int | None, int | None],
    steps: int,
    guidance_scale: float,
    negative_prompt: Sequence[str] | None,
    scales: Iterable[float],
    seeds: Sequence[int],
    negative_body: bool = False,
) -> None:
    """Refuses what cannot be generated.

    Args:
        size: Height and width in pixels; None is the backbone's own.
        steps: Denoising steps.
        guidance_scale: 1 is off.
        negative_prompt: What to steer away from.
        scales: λ of the conditions.
        seeds: Of the images.
        negative_body: Whether guidance steers away from the opposite body.

    Raises:
        BolidError: If something is out of range, or a negative prompt would have no effect.
    """
    for name, value in zip(("height", "width"), size, strict=True):
        if value is not None and (value < STEP or value % STEP):
            lower = max(STEP, value // STEP * STEP)
            raise BolidError(f"{name}={value} must be a multiple of {STEP}, such as {lower} or {lower + STEP}")
    if not 1 <= steps <= MOST_STEPS:
        raise BolidError(f"steps={steps} must be 1 to {MOST_STEPS}")
    if not isfinite(guidance_scale) or guidance_scale < 0:
        raise BolidError(f"guidance={guidance_scale} must be a number of 0 or more; 1 is off, 3 to 7.5 are usual")
    if negative_prompt is not None and guidance_scale <= 1:
        raise BolidError(f"a negative prompt has no effect with guidance={guidance_scale}: raise it above 1")
    if negative_body and guidance_scale <= 1:
        raise BolidError(f"negative_body has no effect with guidance={guidance_scale}: raise it above 1")
    if wrong := [scale for scale in scales if not isfinite(scale)]:
        raise BolidError(f"scale={wrong[0]} must be a finite number; 0 is off, 1 as trained")
    if min(seeds, default=0) < 0 or max(seeds, default=0) >= 2**63:
        raise BolidError(f"seed={seeds[0]} must be 0 or more, and below 2^63")
