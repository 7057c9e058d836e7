"""The oracle's branch: the true proportions of who is to be drawn, which no photo tells exactly."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.conditions.base import Condition
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.synthetic.measures import RATIOS, Body, read_bodies, standardise


class TrueBodyCondition(Condition):
    """True proportions, 7 numbers to 16 tokens: the ceiling of what a body branch can do for a backbone.

    They come with a constant 1 (homogeneous coordinates): the projector has no bias and ends in a LayerNorm, so that
    alone, somebody a little stout and somebody very stout would give nearly the same tokens.

    It looks up who the *target* is, without references, so it is only for measuring on rendered people; no pipeline
    loads it.

    Args:
        people: Folder of the rendered people, whose table knows their true proportions. It is read when first needed:
            where nobody has been rendered yet, there is none when a branch is built.
        num_tokens: See `Condition`, as the rest. `mult` makes the projector about as wide as the body branch's.
    """

    name = "true_body"
    embed_dim = len(RATIOS) + 1

    def __init__(
        self, people: Path, num_tokens: int = 16, mult: int = 16, dropout: float = 0.05, fingerprint: str = ""
    ):
        super().__init__(num_tokens, mult, dropout, fingerprint)
        self.people = people

    @cached_property
    def bodies(self) -> Mapping[str, Body]:
        """Everybody's body by identity."""
        return read_bodies(self.people)

    def embed(self, batch: TrainingBatch, generator: torch.Generator | None = None) -> Tensor:
        """The targets' deviations from the average body, then a 1: (B, 8).

        Raises:
            BolidError: If the folder has no table, or does not know one of them.
        """
        if strange := [identity for identity in batch.identities if identity not in self.bodies]:
            raise BolidError(f"{self.people} does not know {strange[0]}: give the folder that the batches are from.")
        deviations = standardise([self.bodies[identity] for identity in batch.identities])
        return F.pad(deviations, (0, 1), value=1.0).to(batch.pictures.device)

    def negative(self, embeds: Tensor) -> Tensor:
        """The opposite deviations, as in `BodyCondition.negative`."""
        return torch.cat([-embeds[..., :-1], embeds[..., -1:]], -1)
