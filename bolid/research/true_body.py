"""The oracle's condition: the true proportions of a person."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.conditions.base import Condition
from bolid.core.errors import BolidError
from bolid.core.schema import References
from bolid.synthetic.measures import RATIOS


class TrueBodyCondition(Condition):
    """True proportions, 7 numbers to 16 tokens: the upper bound of a body condition.

    A constant 1 is appended (homogeneous coordinates): the projector has no bias and ends in a LayerNorm, so that
    otherwise tokens would hardly depend on the magnitude of the deviations.

    Args:
        num_tokens: See `Condition`, as the rest. `mult` makes the projector about as wide as the body condition's.
    """

    kind = "true_body"
    embed_dim = len(RATIOS) + 1

    def __init__(self, num_tokens: int = 16, mult: int = 16, dropout: float = 0.05, fingerprint: str = ""):
        super().__init__(num_tokens, mult, dropout, fingerprint)

    def known(self, references: References) -> Tensor:
        """(B,) bool: whether the proportions are known."""
        return references.shape_known(len(RATIOS))

    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """The people's deviations from the average body, then a 1: (B, 8).

        Raises:
            BolidError: If the proportions of a person are unknown.
        """
        if not self.known(references).all():
            raise BolidError("true_body needs everyone's true proportions, which only rendered people have")
        return F.pad(references.proportions, (0, 1), value=1.0)

    def opposite(self, embeds: Tensor) -> Tensor:
        """The opposite deviations, as in `BodyCondition.opposite`."""
        # The constant 1 keeps its sign.
        return torch.cat([-embeds[..., :-1], embeds[..., -1:]], -1)
