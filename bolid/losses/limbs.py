"""Limb lengths relative to the average body in the same pose and view."""

from __future__ import annotations

from torch import Tensor

from bolid.core.keypoints import LIMBS

ENDS = [ends for pairs in LIMBS.values() for ends in pairs]
START, END = (list(side) for side in zip(*ENDS, strict=True))
KIND = [kind for kind, pairs in enumerate(LIMBS.values()) for _ in pairs]
FEWEST = 4  # minimum of visible limbs: one scale is fitted to them, and fewer leave no information


def limb_error(lengths: Tensor, average: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
    """Σ‖v − s·r·u‖² / Σ‖v‖² over the limbs v of a photo and u of the average body, r the predicted lengths.

    The scale s is fitted by least squares, since the distance of the camera is unknown.

    Args:
        lengths: (B, 7) in the order of `LIMBS`, relative to the average body's, above 0.
        average: (B, 17, 3) the pose on the average body, in pixels, confidence.
        keypoints: (B, 17, 3) the photo's own.

    Returns:
        The error (B,), and whether enough limbs are visible for it (B,) bool.
    """
    seen = _seen(average, keypoints).to(lengths.dtype)[..., None]  # (B, 12, 1)
    claimed = (average[:, END, :2] - average[:, START, :2]) * lengths[:, KIND, None] * seen
    true = (keypoints[:, END, :2] - keypoints[:, START, :2]) * seen
    scale = (claimed * true).sum((1, 2), keepdim=True) / claimed.square().sum((1, 2), keepdim=True).clamp_min(1e-6)
    error = (true - scale * claimed).square().sum((1, 2)) / true.square().sum((1, 2)).clamp_min(1e-6)
    return error, limbs_seen(average, keypoints)


def limbs_seen(average: Tensor, keypoints: Tensor) -> Tensor:
    """Whether enough limbs are visible in both, (B, 17, 3) each: (B,) bool."""
    return _seen(average, keypoints).sum(1) >= FEWEST


def _seen(average: Tensor, keypoints: Tensor) -> Tensor:
    """(B, 12) bool."""
    joints = (average[..., 2] > 0) & (keypoints[..., 2] > 0)
    return joints[:, START] & joints[:, END]
