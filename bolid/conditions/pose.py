"""The pose condition: the keypoints of an average body in the target pose."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.conditions.base import Condition
from bolid.core.keypoints import KEYPOINTS
from bolid.core.schema import References


class PoseCondition(Condition):
    """Target pose: 17 keypoints to 8 tokens. See `Condition` for the arguments.

    In training it receives the target photo's pose on the average body, which carries no information on the identity.
    """

    kind = "pose"
    personal = False
    embed_dim = 3 * KEYPOINTS

    def __init__(self, num_tokens: int = 8, mult: int = 8, dropout: float = 0.1, fingerprint: str = ""):
        super().__init__(num_tokens, mult, dropout, fingerprint)

    def known(self, references: References) -> Tensor:
        """(B,) bool: samples with a target pose."""
        return (references.pose[..., 2] > 0).any(1)

    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """The target poses, (B, 51)."""
        return pose_numbers(references.pose)


def pose_numbers(keypoints: Tensor) -> Tensor:
    """Flattens keypoints (..., 17, 3), x and y as shares of width and height and confidence, to (..., 51).

    Coordinates become -1..1, and unknown points 0, so that an unknown pose equals no pose.
    """
    known = (keypoints[..., 2:] > 0).to(keypoints.dtype)
    return torch.cat([(2 * keypoints[..., :2] - 1) * known, known], -1).flatten(-2)
