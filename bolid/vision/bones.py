"""A body's proportions by its bones in three dimensions, which pose and view leave as they are.

Seven bones, in the order of `bolid.core.keypoints.LIMBS`: shoulders and hips (widths from joint to joint), trunk
(shoulder to hip), upper arm, forearm, thigh and shin, the last five as means of both sides. A photo does not show how
large a person is, so what is compared is the logarithm of a bone's ratio to the geometric mean of the bones that are
seen; the difference of two is the logarithm of the ratio of their lengths, thigh to shin for instance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.core.keypoints import LIMBS
from bolid.vision.pose_landmarks import COCO

BONES = tuple(LIMBS)
SEEN = 0.5  # visibility from which an end of a bone counts
SHORTEST = 0.01  # metres; a reading below it is none, and its logarithm would outweigh all others


def bone_lengths(world: Tensor) -> Tensor:
    """Lengths in metres, (..., 7), of landmarks (..., 33, 3) in metres; differentiable."""
    joints = world[..., list(COCO), :]  # (..., 17, 3)
    lengths = []
    for sides in LIMBS.values():
        start, end = (list(part) for part in zip(*sides, strict=True))
        lengths.append((joints[..., end, :] - joints[..., start, :]).norm(dim=-1).mean(-1))
    return torch.stack(lengths, -1)


def bones_seen(keypoints: Tensor, least: float = SEEN) -> Tensor:
    """Which bones have both ends visible, of one side at least: (..., 17, 3) -> (..., 7) bool."""
    seen = keypoints[..., 2] >= least
    kinds = [(seen[..., [a for a, _ in sides]] & seen[..., [b for _, b in sides]]).any(-1) for sides in LIMBS.values()]
    return torch.stack(kinds, -1)


def bone_ratios(lengths: Tensor, seen: Tensor) -> Tensor:
    """Logarithms of the bones' ratios to the geometric mean of those that are seen; 0 where one is not.

    Args:
        lengths: (..., 7) in metres.
        seen: (..., 7) bool or weights in 0..1.
    """
    weight = seen.to(lengths.dtype)
    logs = lengths.clamp_min(SHORTEST).log()
    mean = (logs * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True).clamp_min(1e-6)
    return (logs - mean) * weight
