"""Augmentation of references by nuisance variables: backgrounds, colours, compression, sensor noise."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from bolid.core.errors import BolidError

LEAVES = 60  # shapes of a background
POOL = 512  # number of backgrounds in memory
CHROMA = 30.0  # standard deviation of a colour's channels from its grey
SHADING = 24.0  # standard deviation of a background's slowly varying light, in grey levels


@dataclass(frozen=True)
class Nuisance:
    """Random changes of a person's crops in training, sampled per view.

    An encoder trained on rendered people generalises to real ones only if it ignores what renders do not vary (domain
    randomisation, Tobin et al. 2017). Replacing the background needs a silhouette; crops without one keep theirs.

    Attributes:
        background: Probability of another background: occluding shapes of all sizes with shading and texture (dead
            leaves, Lee et al. 2001), whose statistics are those of photographs.
        recolour: Probability that the person's hue, saturation and brightness change.
        jpeg: Probability of JPEG compression, at a quality of 20 to 95.
        noise: Maximum standard deviation of the sensor noise, in grey levels of 0..255.
    """

    background: float = 0.8
    recolour: float = 0.8
    jpeg: float = 0.5
    noise: float = 10.0

    def __post_init__(self) -> None:
        for name in ("background", "recolour", "jpeg"):
            if not 0 <= getattr(self, name) <= 1:
                raise BolidError(f"nuisance.{name} is {getattr(self, name)}; a probability lies between 0 and 1.")
        if not 0 <= self.noise <= 255:
            raise BolidError(f"nuisance.noise is {self.noise}; it lies between 0 and 255.")

    def apply(self, pixels: np.ndarray, silhouette: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed copy of a crop (h, w, 3) uint8 RGB with its silhouette (h, w) uint8, zeros where unknown."""
        turned, moved, saved = rng.random(3) < (self.recolour, self.background, self.jpeg)
        share = silhouette[..., None] / np.float32(255) if silhouette.any() else np.float32(1)
        shown = pixels.astype(np.float32)
        if turned:
            shown = shown + (recoloured(pixels, rng) - shown) * share
        if moved and silhouette.any():
            around = other_background(silhouette.shape[0], silhouette.shape[1], rng)
            shown = around + (shown - around) * share
        shown += rng.normal(0, rng.uniform(0, self.noise), shown.shape).astype(np.float32)
        shown = shown.round().clip(0, 255).astype(np.uint8)
        return compressed(shown, int(rng.integers(20, 96))) if saved else shown


def recoloured(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another hue, saturation (x 0.4 to 1.6) and brightness (x 0.6 to 1.4) of (h, w, 3) uint8 RGB: float32."""
    hue, saturation, value = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.float32))
    hue = (hue + rng.uniform(0, 180)) % 180
    saturation, value = (
        (channel * rng.uniform(1 - reach, 1 + reach)).clip(0, 255)
        for channel, reach in ((saturation, 0.6), (value, 0.4))
    )
    turned = cv2.merge([hue, saturation, value]).round().clip(0, 255).astype(np.uint8)
    return cv2.cvtColor(turned, cv2.COLOR_HSV2RGB).astype(np.float32)


def other_background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """One of `POOL` cached backgrounds (height, width, 3) in 0..255, randomly shifted and mirrored."""
    large = _pooled(int(rng.integers(POOL)), 2 * height, 2 * width)
    top, left = rng.integers(height + 1), rng.integers(width + 1)
    part = large[top : top + height, left : left + width]
    return part[:, ::-1] if rng.random() < 0.5 else part


@lru_cache(maxsize=POOL)
def _pooled(number: int, height: int, width: int) -> np.ndarray:
    return dead_leaves(height, width, np.random.default_rng([number, height, width])).astype(np.uint8)


def dead_leaves(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A background (height, width, 3) in 0..255, float32: ellipses and boxes whose sizes follow a power law."""
    image = np.full((height, width, 3), _colour(rng), np.float32)
    side = max(height, width)
    for size in side * 0.6 * rng.power(0.5, LEAVES):  # large and small shapes occlude each other
        centre, extent = rng.uniform(0, (width, height)), size * rng.uniform(0.2, 1, 2)
        box = (centre.tolist(), extent.tolist(), rng.uniform(0, 180))
        colour = _colour(rng).tolist()
        if rng.random() < 0.5:
            cv2.ellipse(image, box, colour, -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(image, [cv2.boxPoints(box).round().astype(np.int32)], colour, cv2.LINE_AA)
    coarse = rng.normal(0, SHADING, (4, 4, 3)).astype(np.float32)
    image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.02 * side)).clip(0, 255)  # random defocus


def _colour(rng: np.random.Generator) -> np.ndarray:
    return (rng.uniform(0, 255) + rng.normal(0, CHROMA, 3)).clip(0, 255)


def compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    """(h, w, 3) uint8 RGB after JPEG compression of that quality."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
