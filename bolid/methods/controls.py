"""Controls: text alone, a shuffled identity, and the reconstruction as upper reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import References, TrainingBatch, joined
from bolid.methods.base import Method, Sampling, Subject
from bolid.methods.bolid import generate
from bolid.pipelines.bolid import BoLIDPipeline


class TextOnly(Method):
    """The backbone without conditions."""

    @property
    def uses(self) -> frozenset[str]:
        """Nothing."""
        return frozenset()

    def enroll(self, references: References) -> list[Subject]:
        """Nothing."""
        return [None] * len(references.mask)

    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """See `Method.generate`."""
        return generate(self, prompts, {}, {}, seeds, size)


class Reconstruction(TextOnly):
    """The target photos encoded and decoded by the backbone's VAE: the upper reference of every metric."""

    def enroll(self, references: References) -> list[Subject]:
        """The first photo of each person."""
        return list(references.pictures[:, 0])

    def subjects(self, batch: TrainingBatch) -> list[Subject]:
        """The target photos."""
        return list(batch.pictures)

    @torch.no_grad()
    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """The photos in 0..1; see `Method.generate`."""
        backbone = self.pipeline.backbone
        decoded = backbone.decode_latents(backbone.encode_pictures(torch.stack(list(subjects))))
        return (decoded.float() * 0.5 + 0.5).clamp(0, 1)


class ShuffledIdentity(Method):
    """Another method with a shuffled identity: the references of another person, of the same gender where possible.

    Conditions on the image, such as a pose, stay those of the prompt.

    Args:
        of: The method to shuffle.
    """

    least_people = 2

    def __init__(self, of: Method):
        self.of = of
        self.seen: dict[str, References] = {}  # identity -> references of the last two people

    @property
    def uses(self) -> frozenset[str]:
        """See `Method`; delegates to the shuffled method."""
        return self.of.uses

    def prepare(self, pipeline: BoLIDPipeline, sampling: Sampling) -> None:
        """See `Method.prepare`."""
        super().prepare(pipeline, sampling)
        self.of.prepare(pipeline, sampling)

    def begin(self, samples: Sequence[TrainingBatch]) -> None:
        """Stores the references of two people, so that a batch of a single person has another one to use.

        Raises:
            BolidError: If the test holds a single person.
        """
        self.of.begin(samples)
        self.seen = {}
        for number in range(len(samples)):
            if len(self.seen) > 1:
                return
            self._remember(samples[number])
        if len(self.seen) < 2:
            raise BolidError(
                f"a shuffled identity needs two people, and the test has only {', '.join(self.seen) or 'none'}: add "
                "people to it, or set the method to null"
            )

    def enroll(self, references: References) -> list[Subject]:
        """See `Method`; delegates to the shuffled method."""
        return self.of.enroll(references)

    def subjects(self, batch: TrainingBatch) -> list[Subject]:
        """Another person for each sample, from the batch or, if it holds only one, from an earlier one."""
        return self.of.enroll(self.others(batch))

    def others(self, batch: TrainingBatch) -> References:
        """The references of another person for each sample.

        Raises:
            BolidError: If there is no other person.
        """
        # Look up earlier people before this batch replaces them.
        before = [references for identity, references in self.seen.items() if identity not in batch.identities]
        self._remember(batch)
        if len(set(batch.identities)) > 1:
            found = batch.take(torch.tensor(other_people(batch))).references
        elif before:
            found = joined([before[-1]] * len(batch))
        else:
            raise BolidError(f"a shuffled identity needs another person than {batch.identities[0]}, and there is none")
        # The pose belongs to the image, not to the identity, and must not be shuffled.
        return replace(found, pose=batch.references.pose)

    def generate(
        self, prompts: list[str], subjects: Sequence[Subject], seeds: list[int], size: tuple[int, int]
    ) -> Tensor:
        """See `Method`; delegates to the shuffled method."""
        return self.of.generate(prompts, subjects, seeds, size)

    def _remember(self, batch: TrainingBatch) -> None:
        here = {identity: row for row, identity in enumerate(batch.identities)}
        rest = {identity: references for identity, references in self.seen.items() if identity not in here}
        people = rest | {i: batch[row : row + 1].references for i, row in list(here.items())[-2:]}
        self.seen = dict(list(people.items())[-2:])


def other_people(batch: TrainingBatch) -> list[int]:
    """For each sample the row of another person, of the same gender if known and available.

    The batch must hold at least two people.
    """
    count = len(batch)
    genders = [asked.get("gender") for asked in batch.full_asked]

    def stranger(row: int) -> int:
        others = [
            (row + k) % count for k in range(1, count) if batch.identities[(row + k) % count] != batch.identities[row]
        ]
        return next((o for o in others if genders[o] == genders[row]), others[0])

    return [stranger(row) for row in range(count)]
