"""COCO-17 keypoints, (..., 17, 3): x, y in pixels from the image's top left corner, and a confidence in 0..1.

Coordinates are continuous: the image spans 0..width, so that scaling multiplies and a flip is `width - x`.
A confidence of 0 means invisible, and then x = y = 0.
"""

from __future__ import annotations

import numpy as np

_PARTS = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
COCO_NAMES = ("nose", *(f"{side}_{part}" for part in _PARTS for side in ("left", "right")))
KEYPOINTS = len(COCO_NAMES)
# Entry k is the index of keypoint k in a mirrored image.
FLIP = (0, *(other for left in range(1, 17, 2) for other in (left + 1, left)))

# Standard deviation of annotations per keypoint over the square root of the person's area (COCO).
_DISAGREEMENT = (0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089)
SIGMAS = np.array([0.026, *(sigma for sigma in _DISAGREEMENT for _ in range(2))])

# The tree for retargeting: (parent, child, bone), parents first. Two joints COCO lacks are added: 17 between the hips
# (the root) and 18 between the shoulders. Both sides share a bone's name, since people are symmetric.
_HIPS, _CHEST = 17, 18
_TREE = (
    (_HIPS, _CHEST, "trunk"),
    *((_HIPS, hip, "pelvis") for hip in (11, 12)),
    *((_CHEST, shoulder, "clavicle") for shoulder in (5, 6)),
    (_CHEST, 0, "neck"),
    *((a, b, "upper arm") for a, b in ((5, 7), (6, 8))),
    *((a, b, "forearm") for a, b in ((7, 9), (8, 10))),
    *((a, b, "thigh") for a, b in ((11, 13), (12, 14))),
    *((a, b, "shin") for a, b in ((13, 15), (14, 16))),
    *((a, b, "face") for a, b in ((0, 1), (0, 2), (1, 3), (2, 4))),
)
_BONES = tuple(dict.fromkeys(bone for _, _, bone in _TREE))

# Both ends of limbs whose lengths differ between people; both sides share a length, since people are symmetric.
LIMBS: dict[str, tuple[tuple[int, int], ...]] = {
    "shoulders": ((5, 6),),
    "hips": ((11, 12),),
    "trunk": ((5, 11), (6, 12)),
    "upper arm": ((5, 7), (6, 8)),
    "forearm": ((7, 9), (8, 10)),
    "thigh": ((11, 13), (12, 14)),
    "shin": ((13, 15), (14, 16)),
}


def flip(keypoints: np.ndarray, width: float) -> np.ndarray:
    """Mirrors (..., 17, 3) keypoints of an image `width` pixels wide; left and right points are swapped."""
    mirrored = keypoints[..., FLIP, :].copy()
    mirrored[..., 0] = np.where(mirrored[..., 2] > 0, width - mirrored[..., 0], 0)
    return mirrored


def transform(
    keypoints: np.ndarray, scale: tuple[float, float], offset: tuple[float, float], size: tuple[int, int]
) -> np.ndarray:
    """Transforms (..., 17, 3) keypoints into a scaled crop; points outside become invisible.

    Args:
        keypoints: In pixels of the photo.
        scale: Crop pixels per photo pixel, along x and y.
        offset: Position of the photo's top left corner in the crop, x and y.
        size: Height and width of the crop.
    """
    moved = keypoints.astype(np.float32, copy=True)
    moved[..., :2] = moved[..., :2] * np.array(scale, np.float32) + np.array(offset, np.float32)
    height, width = size
    inside = (moved[..., :2] >= 0).all(-1) & (moved[..., 0] <= width) & (moved[..., 1] <= height)
    return np.where((inside & (moved[..., 2] > 0))[..., None], moved, np.float32(0))


def object_similarity(found: np.ndarray, truth: np.ndarray, area: float) -> float:
    """COCO's object keypoint similarity (OKS), from 0 to 1 for a perfect match.

    Args:
        found: (17, 3) of a candidate in pixels; an undetected keypoint at x = y = 0 counts as missed.
        truth: (17, 3); those of confidence 0 do not count.
        area: Area of the person in the image, in square pixels.
    """
    asked = truth[:, 2] > 0
    if not asked.any():
        return 0.0
    squared = np.square(found[:, :2] - truth[:, :2]).sum(1)
    return float(np.exp(-squared / (2 * max(area, 1.0) * np.square(2 * SIGMAS)))[asked].mean())


def retarget(keypoints: np.ndarray, rng: np.random.Generator, jitter: float = 0.2) -> np.ndarray:
    """Removes the identity from a pose: bones keep their directions, and their lengths are scaled at random.

    Each bone of the tree gets one factor, uniform in 1 ± `jitter`, the same on both sides; children move along with
    their parents. A point with an invisible parent is attached to the nearest visible ancestor.

    Args:
        keypoints: (17, 3) of one person.
        rng: Random generator of the factors; it samples one number per bone, whatever is visible.
        jitter: Half width of the range, 0 (no change) to below 1.

    Returns:
        (17, 3) float32 with the same points visible; the middle of the hips (or the first point of the tree) is fixed.
    """
    factors = dict(zip(_BONES, rng.uniform(1 - jitter, 1 + jitter, len(_BONES)), strict=True))
    old = _with_middles(keypoints)
    new = old.copy()
    anchor = {_HIPS: _HIPS if old[_HIPS, 2] > 0 else None}  # joint -> itself if visible, else an ancestor
    for parent, child, bone in _TREE:
        base = anchor[parent]
        seen = old[child, 2] > 0
        if seen and base is not None:
            new[child, :2] = new[base, :2] + factors[bone] * (old[child, :2] - old[base, :2])
        anchor[child] = child if seen else base
    return new[:17]


def _with_middles(keypoints: np.ndarray) -> np.ndarray:
    """Appends the middles of hips and shoulders: (19, 3) float32; if only one side is visible, its point is used."""
    points = np.zeros((19, 3), np.float32)
    points[:17] = keypoints
    for index, pair in ((_HIPS, (11, 12)), (_CHEST, (5, 6))):
        seen = points[list(pair)]
        seen = seen[seen[:, 2] > 0]
        if len(seen):
            points[index] = seen.mean(0)
    return points


SEEN = 0.3  # minimum confidence of a visible point in a photo
_NOSE_EYES, _SHOULDERS, _HIPS_SEEN, _KNEES, _ANKLES = (0, 1, 2), (5, 6), (11, 12), (13, 14), (15, 16)


def shows_body(keypoints: np.ndarray) -> bool:
    """Whether (17, 3) keypoints of a photo include shoulders and hips, unlike those of heads and busts."""
    seen = keypoints[:, 2] >= SEEN
    return bool(seen[list(_SHOULDERS)].any() and seen[list(_HIPS_SEEN)].any())


def shows_figure(keypoints: np.ndarray) -> bool:
    """Whether (17, 3) keypoints of a photo include a whole figure: face, shoulders, hips, knees and ankles."""
    seen = keypoints[:, 2] >= SEEN
    both = all(seen[list(pair)].all() for pair in (_SHOULDERS, _HIPS_SEEN))
    return bool(both and all(seen[list(some)].any() for some in (_NOSE_EYES, _KNEES, _ANKLES)))
