"""BoLID: the frozen backbone with conditions in its cross-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.names import check_known
from bolid.core.schema import References
from bolid.methods.base import Method, Sampling, Subject
from bolid.pipelines.bolid import BoLIDPipeline


class Adapter(Method):
    """Generates by the task's backbone with some of its conditions.

    Args:
        conditions: Names of the active conditions.
        scale: λ of each of them.
        negative_body: Whether the negative condition is −c_body instead of zeros.

    Raises:
        BolidError: If no condition is named, or one twice.
    """

    def __init__(self, conditions: list[str], scale: float = 1.0, negative_body: bool = False):
        if not conditions or len(set(conditions)) < len(conditions):
            raise BolidError(f"Adapter: conditions={conditions} must name at least one, each once; TextOnly takes none")
        if not isfinite(scale):
            raise BolidError(f"Adapter: scale={scale} must be a finite number; 0 is off, 1 as trained")
        self.conditions, self.scale, self.negative_body = list(conditions), scale, negative_body

    @property
    def uses(self) -> frozenset[str]:
        """The names of the active conditions."""
        return frozenset(self.conditions)

    def prepare(self, pipeline: BoLIDPipeline, sampling: Sampling) -> None:
        """See `Method.prepare`."""
        check_known(self.conditions, list(pipeline.conditions), "Adapter", "condition")
        super().prepare(pipeline, sampling)

    def enroll(self, references: References) -> list[Subject]:
        """Condition -> embedding (E,), for each person."""
        embeds = {name: self.pipeline.conditions[name].embed(references) for name in self.conditions}
        return [dict(zip(embeds, row, strict=True)) for row in zip(*embeds.values(), strict=True)]

    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """See `Method.generate`."""
        embeds = {name: torch.stack([subject[name] for subject in subjects]) for name in self.conditions}
        scales = dict.fromkeys(self.conditions, self.scale)
        return generate(self, prompts, embeds, scales, seeds, size, self.negative_body)


def generate(
    method: Method,
    prompts: list[str],
    embeds: Mapping[str, Tensor],
    scales: Mapping[str, float],
    seeds: list[int],
    size: tuple[int, int],
    negative_body: bool = False,
) -> Tensor:
    """Generates images (B, 3, H, W) in 0..1 by the pipeline with a method's sampling; unnamed conditions are off."""
    return method.pipeline.generate(
        prompts,
        embeds,
        scales,
        seeds,
        guidance_scale=method.sampling.guidance_scale,
        negative_body=negative_body,
        num_inference_steps=method.sampling.steps,
        height=size[0],
        width=size[1],
    ).float()
