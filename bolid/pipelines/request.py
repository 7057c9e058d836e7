"""Checks of the pipeline's arguments, which need no loaded network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.pictures import to_image

STEP = 8  # pixels; image sizes must be multiples of the VAE's scale factor
MOST_STEPS = 1000  # number of training timesteps
# Converters of images (N, 3, H, W) in 0..1, or of latents (N, C, h, w), by output type.
OUTPUTS: dict[str, Callable[[Tensor], Any]] = {
    "pil": lambda images: [to_image(image) for image in images],
    "np": lambda images: images.float().cpu().movedim(1, -1).numpy(),
    "pt": lambda images: images,
    "latent": lambda latents: latents,
}


def per_prompt(given: Any, kind: type, count: int, what: str) -> list[Any]:
    """One value for all prompts, or a list of one per prompt, as a list of `count` values.

    Raises:
        BolidError: If there are too few or too many.
    """
    found = [given] * count if given is None or isinstance(given, kind) else list(given)
    if len(found) != count:
        raise BolidError(f"{len(found)} {what} for {count} prompts: give one, or one per prompt")
    return found


def check_inputs(
    count: int,
    output_type: str,
    generator: torch.Generator | Sequence[torch.Generator] | None,
    latents: Tensor | None,
    channels: int,
) -> None:
    """Refuses an output type, generators or latents that do not fit `count` images.

    Raises:
        BolidError: If the output type is unknown, `count` is 0, or generators or latents have another number or shape.
    """
    if output_type not in OUTPUTS:
        raise BolidError(f"output_type={output_type!r} is none of {', '.join(OUTPUTS)}")
    if count < 1:
        raise BolidError("nothing to generate: give a prompt, and num_images_per_prompt of 1 or more")
    if isinstance(generator, Sequence) and len(generator) != count:
        raise BolidError(f"{len(generator)} generators for {count} images: give one, or one per image")
    if latents is not None and (latents.ndim != 4 or latents.shape[:2] != (count, channels)):
        shape = " x ".join(map(str, latents.shape))
        raise BolidError(f"latents are {count} x {channels} x height x width here, not {shape}")


def check_prompts(prompts: Sequence[str | None], what: str = "prompt") -> None:
    """Refuses prompts that no tokenizer accepts.

    Raises:
        BolidError: If there is none, or one is not a string or holds a lone surrogate.
    """
    if not prompts:
        raise BolidError(f"{what}: none is given")
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
    """Checks a request before anything is generated.

    Args:
        size: Height and width in pixels; None is the backbone's own.
        steps: Number of denoising steps.
        guidance_scale: 1 is off.
        negative_prompt: Negative prompts, if any.
        scales: λ of each condition.
        seeds: Seeds of the images.
        negative_body: Whether the negative condition is −c_body.

    Raises:
        BolidError: If a value is out of range, or would have no effect without guidance.
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
