"""The pose condition: where the joints of an average body in the wanted pose are."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.conditions.base import Condition
from bolid.core.keypoints import KEYPOINTS
from bolid.core.schema import References


class PoseCondition(Condition):
    """A wanted pose, 17 keypoints to 8 tokens. See `Condition` for the arguments.

    In training it is told the target's pose on the average body, so that the pose tells nothing of whose body it is.
    """

    kind = "pose"
    personal = False
    embed_dim = 3 * KEYPOINTS

    def __init__(self, num_tokens: int = 8, mult: int = 8, dropout: float = 0.1, fingerprint: str = ""):
        super().__init__(num_tokens, mult, dropout, fingerprint)

    def known(self, references: References) -> Tensor:
        """(B,) bool, for which pictures a pose is asked for."""
        return (references.pose[..., 2] > 0).any(1)

    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """The poses asked for, (B, 51)."""
        return pose_numbers(references.pose)


def pose_numbers(keypoints: Tensor) -> Tensor:
    """Keypoints (..., 17, 3), x and y as shares of the picture's width and height and confidence: (..., 51).

    Places become -1..1, and unknown points zero: a pose of which nothing is known is no pose, exactly.
    """
    known = (keypoints[..., 2:] > 0).to(keypoints.dtype)
    return torch.cat([(2 * keypoints[..., :2] - 1) * known, known], -1).flatten(-2)
