"""The oracle's condition: the true proportions of a person, which no photo shows exactly."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.conditions.base import Condition
from bolid.core.errors import BolidError
from bolid.core.schema import References
from bolid.synthetic.measures import RATIOS


class TrueBodyCondition(Condition):
    """True proportions, 7 numbers to 16 tokens: the upper bound of what a body condition can do for a backbone.

    They come with a constant 1 (homogeneous coordinates): the projector has no bias and ends in a LayerNorm, so that
    alone, a slightly stout and a very stout person would have nearly the same tokens.

    Args:
        num_tokens: See `Condition`, as the rest. `mult` makes the projector about as wide as the body condition's.
    """

    kind = "true_body"
    embed_dim = len(RATIOS) + 1

    def __init__(self, num_tokens: int = 16, mult: int = 16, dropout: float = 0.05, fingerprint: str = ""):
        super().__init__(num_tokens, mult, dropout, fingerprint)

    def known(self, references: References) -> Tensor:
        """(B,) bool, of which people the proportions are known."""
        found = references.proportions
        if found.shape[1:] != (len(RATIOS),):
            return torch.zeros(len(found), dtype=torch.bool, device=found.device)
        return found.isfinite().all(1)

    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """The people's deviations from the average body, then a 1: (B, 8).

        Raises:
            BolidError: If the proportions of one of them are not known.
        """
        known = references.proportions
        if known.shape[1:] != (len(RATIOS),) or not known.isfinite().all():
            raise BolidError("true_body needs everybody's true proportions, which only rendered people have")
        return F.pad(known, (0, 1), value=1.0)

    def opposite(self, embeds: Tensor) -> Tensor:
        """The opposite deviations, as in `BodyCondition.opposite`."""
        return torch.cat([-embeds[..., :-1], embeds[..., -1:]], -1)
