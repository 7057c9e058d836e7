"""Bodies sampled from the text prior."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import ANYBODY, References, TrainingBatch
from bolid.methods.base import Method, Sampling, Subject
from bolid.methods.bolid import generate
from bolid.pipelines.bolid import BoLIDPipeline


class Prior(Method):
    """Samples bodies from the text prior given the full captions; the backbone receives only the prompts.

    Args:
        folder: Folder of the prior, see `bolid identity prior`.
        temperature: Temperature of the samples, see `BodyPrior.sample`.
        scale: λ of the body condition.
    """

    def __init__(self, folder: Path, temperature: float = 1.0, scale: float = 1.0):
        self.folder, self.temperature, self.scale = folder, temperature, scale

    @property
    def uses(self) -> frozenset[str]:
        """`body`."""
        return frozenset({"body"})

    def prepare(self, pipeline: BoLIDPipeline, sampling: Sampling) -> None:
        """See `Method.prepare`."""
        if not any(condition.kind == "body" for condition in pipeline.conditions.values()):
            raise BolidError("Prior samples bodies, and the task has no body condition")
        super().prepare(pipeline, sampling)

    def begin(self, samples: Sequence[TrainingBatch]) -> None:
        """Refuses a prior of another encoder or backbone; see `BoLIDPipeline.imagine`."""
        # Sampling once loads the prior and runs all its checks before minutes of generation.
        self.pipeline.imagine(ANYBODY, str(self.folder), [0], self.temperature)

    def enroll(self, references: References) -> list[Subject]:
        """The caption of each person's first photo."""
        return [captions[0] if captions else ANYBODY for captions in references.captions]

    def subjects(self, batch: TrainingBatch) -> list[Subject]:
        """The full captions."""
        return list(batch.full_captions)

    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """See `Method.generate`."""
        people = self.pipeline.imagine(list(subjects), str(self.folder), seeds, self.temperature)
        embeds = {name: self.pipeline.embeds(people)[name] for name in people[0]}
        return generate(self, prompts, embeds, dict.fromkeys(embeds, self.scale), seeds, size)
