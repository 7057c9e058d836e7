"""Measures of pixels without networks, from one decoding at about half a megapixel."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from bolid.core.photos import ORIENTATION, open_photo, photo_size
from bolid.core.safe_io import PictureError
from bolid.data.curate.measure import Measure

VERSION = "pixels 2"  # increase it when the same photo gives other values
SIDE = 512  # shorter side of the measured image in pixels
EDGE, STRONGEST = 98, 99  # percentiles of gradients: of all, and of those in one direction, that are edges
WEAKEST = 0.3  # share of the first that the edges of a direction must have, or it has none
SECTORS, FEW = 4, 40  # directions, and pixels of edges without which a direction says nothing
RADIUS = 2.0  # pixels at that side, of the blur with which edges are compared
HASH = 16  # bits a side of the perceptual hash


class PixelMeasure(Measure):
    """Size, brightness, sharpness and perceptual hash; or the error of decoding.

    `dark` and `light` are cleanvision's measures: the 99th and the 5th percentile of perceived brightness, 0 to 1.
    `sharpness` compares edges with themselves after a blur (the idea of Crete et al., 2007, on the strongest edges
    alone, so that a soft background does not count): about 2.5 for sharp edges, 1 if the blur has no effect.
    """

    name = "pixels"
    columns = {
        "error": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "dark": pa.float32(),
        "light": pa.float32(),
        "sharpness": pa.float32(),
        "hash": pa.binary(HASH * HASH // 8),
        "mirrored": pa.binary(HASH * HASH // 8),
        "exif": pa.string(),
    }

    @property
    def fingerprint(self) -> str:
        """Hash of the version."""
        import hashlib

        return hashlib.sha256(VERSION.encode()).hexdigest()

    def read(self, path: Path) -> dict[str, Any]:
        """The values; `error` is that of decoding, `exif` that of the EXIF data."""
        try:
            width, height = photo_size(path)
            factor = 1 << max(0, (min(width, height) // SIDE).bit_length() - 1)  # a JPEG is decoded at 1/2, 1/4 …
            shown = open_photo(path, reduce_to=-(-width // factor) * -(-height // factor))
        except PictureError as error:
            return {"error": str(error).removeprefix(f"{path}: ")[:200]}
        return {"width": width, "height": height, "exif": damage(path)} | look(shown)


def damage(path: Path) -> str | None:
    """The error in a photo's EXIF, by which its orientation is unknown; None if it is valid."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            with Image.open(path) as picture:
                exif = picture.getexif()
                _ = {tag: exif[tag] for tag in exif}
                turned = exif.get(ORIENTATION, 1)
        except Exception as error:  # Pillow warns, or raises many kinds of errors for malformed data
            return f"{type(error).__name__}: {error}"[:100]
    return None if isinstance(turned, int) and 0 <= turned <= 8 else f"orientation {turned!r}"[:100]


def look(picture: Image.Image) -> dict[str, Any]:
    """Brightness, sharpness and hashes of an RGB image of any size."""
    picture = shrunk(picture)
    grey = picture.convert("L")
    small = grey.resize((4 * HASH, 4 * HASH), Image.Resampling.BILINEAR)
    dark, light = brightness(np.asarray(picture)[::4, ::4])
    return {
        "dark": dark,
        "light": light,
        "sharpness": sharpness(np.asarray(grey)),
        "hash": perceptual_hash(small),
        "mirrored": perceptual_hash(ImageOps.mirror(small)),
    }


def shrunk(picture: Image.Image) -> Image.Image:
    """The image with a shorter side of at most `SIDE` pixels."""
    scale = SIDE / min(picture.size)
    if scale >= 1:
        return picture
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def brightness(rgb: np.ndarray) -> tuple[float, float]:
    """99th and 5th percentile of the perceived brightness of (h, w, 3) uint8, 0 to 1."""
    squares = rgb.reshape(-1, 3).astype(np.float32) ** 2
    perceived = np.sqrt(squares @ np.array([0.241, 0.691, 0.068], np.float32)) / 255
    high, low = np.percentile(perceived, [99, 5])
    return float(high), float(low)


def sharpness(grey: np.ndarray) -> float:
    """Ratio of edge strengths of (h, w) uint8 before and after a blur of `RADIUS`, in the least sharp direction.

    Edges are compared in four directions separately, since motion blur keeps those along the motion sharp. In each it
    is the 90th percentile over the strongest. An image of one colour has none, and 1.
    """
    import cv2

    shown = grey.astype(np.float32)
    before, (across, down) = cv2.magnitude(*gradient(shown)), gradient(cv2.GaussianBlur(shown, (0, 0), RADIUS))
    after, angle = cv2.cartToPolar(across, down)
    least = max(WEAKEST * float(np.percentile(after[::2, ::2], EDGE)), 1.0)
    sector = np.rint(angle / (np.pi / SECTORS)).astype(np.uint8) % SECTORS
    found = []
    for k in range(SECTORS):
        own = sector == k
        edges = own & (after >= max(least, float(np.percentile(after[own], STRONGEST)) if own.any() else 0.0))
        if edges.sum() >= FEW:
            found.append(float(np.percentile(before[edges] / after[edges], 90)))
    return min(found, default=1.0)


def gradient(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sobel's gradient across and down, each (h, w) float32 in grey levels a pixel."""
    import cv2

    across, down = (cv2.Sobel(picture, cv2.CV_32F, x, 1 - x, ksize=3) / 8 for x in (1, 0))
    return across, down


def perceptual_hash(grey: Image.Image) -> bytes:
    """imagehash's pHash of `HASH`² bits."""
    import imagehash

    return np.packbits(imagehash.phash(grey, hash_size=HASH).hash.ravel()).tobytes()
