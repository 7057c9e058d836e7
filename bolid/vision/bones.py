"""Body proportions by 3D bone lengths, which do not depend on pose and view.

Seven bones, in the order of `bolid.core.keypoints.LIMBS`: shoulders and hips (widths from joint to joint), trunk
(shoulder to hip), upper arm, forearm, thigh and shin, the last five as means of both sides. A photo does not determine
a person's scale, so that the measure is the logarithm of a bone's ratio to the geometric mean of the visible bones; the
difference of two is the log ratio of their lengths, such as thigh to shin.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.core.keypoints import LIMBS
from bolid.vision.pose_landmarks import COCO

BONES = tuple(LIMBS)
SEEN = 0.5  # minimum visibility of a bone's ends
SHORTEST = 0.01  # metres; shorter readings are errors, whose logarithm would dominate


def bone_lengths(world: Tensor) -> Tensor:
    """Lengths in metres, (..., 7), of landmarks (..., 33, 3) in metres; differentiable."""
    joints = world[..., list(COCO), :]  # (..., 17, 3)
    lengths = []
    for sides in LIMBS.values():
        start, end = (list(part) for part in zip(*sides, strict=True))
        lengths.append((joints[..., end, :] - joints[..., start, :]).norm(dim=-1).mean(-1))
    return torch.stack(lengths, -1)


def bones_seen(keypoints: Tensor, least: float = SEEN) -> Tensor:
    """Whether both ends of each bone are visible on at least one side: (..., 17, 3) -> (..., 7) bool."""
    seen = keypoints[..., 2] >= least
    kinds = [(seen[..., [a for a, _ in sides]] & seen[..., [b for _, b in sides]]).any(-1) for sides in LIMBS.values()]
    return torch.stack(kinds, -1)


def bone_ratios(lengths: Tensor, seen: Tensor) -> Tensor:
    """Log ratios of the bones to the geometric mean of the visible ones; 0 for invisible bones.

    Args:
        lengths: (..., 7) in metres.
        seen: (..., 7) bool or weights in 0..1.
    """
    weight = seen.to(lengths.dtype)
    logs = lengths.clamp_min(SHORTEST).log()
    mean = (logs * weight).sum(-1, keepdim=True) / weight.sum(-1, keepdim=True).clamp_min(1e-6)
    return (logs - mean) * weight
