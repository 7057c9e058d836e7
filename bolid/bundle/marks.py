"""Watermarks of many kinds on crops, to train the watermark network.

The crop stands for any part of a photo, so marks lie anywhere in it and beyond its edges. `stamps` has marks on whole
photos, which training never sees.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

LATIN = string.ascii_letters + string.digits + "   ....-_©@&/!"
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщыэюяАБВГДЕЖЗИКЛМНОПРСТУ"
PARTS = ("www.", ".com", ".net", ".ru", ".org", "photo", "PHOTO", "© 20", "pics", "Studio", "HD", "@", "preview")
FAINTEST = 6.0  # grey levels: what changes a pixel by less is no mark that can be seen
SEEN = 14.0  # and by more is one


def mark(crop: np.ndarray, rng: np.random.Generator, fonts: Sequence[Path]) -> tuple[np.ndarray, np.ndarray]:
    """A marked copy of a crop.

    Args:
        crop: (h, w, 3) uint8 RGB.
        rng: Draws what, where, how large and how strong.
        fonts: Files of fonts.

    Returns:
        The copy, and (h, w) float32 by how many grey levels it differs, the most of three channels.
    """
    cover = _cover(crop.shape[:2], rng, fonts)
    below = crop.astype(np.float32)
    opacity = np.float32(rng.uniform(0.2, 1) if cover.mean() < 0.1 else rng.uniform(0.18, 0.7))
    ink = _ink(below, cover, rng).astype(np.float32)
    shown = below
    if rng.random() < 0.35:  # an outline or a shadow, dark below light ink and light below dark
        edge = cv2.GaussianBlur(cv2.dilate(cover, np.ones((3, 3))), (0, 0), rng.uniform(0.4, 2))
        edge = np.roll(edge, rng.integers(-2, 3, 2), (0, 1))[..., None] * opacity * np.float32(rng.uniform(0.3, 1))
        shown = shown * (1 - edge) + (0 if ink.mean() > 127 else 255) * edge
    weight = cover[..., None] * opacity
    marked = (shown * (1 - weight) + ink * weight).round().clip(0, 255)
    change = np.abs(marked - below)
    return marked.astype(np.uint8), np.maximum(np.maximum(change[..., 0], change[..., 1]), change[..., 2])


def _ink(below: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White, black, grey or a colour, mostly one that can be seen."""
    inside = cover > 0.5
    mean = below[inside].mean(0) if inside.any() else np.full(3, 128.0)
    if rng.random() < 0.7:
        return np.full(3, rng.uniform(215, 256) if mean.mean() < rng.uniform(110, 190) else rng.uniform(0, 40))
    colours = rng.uniform(0, 256, (4, 3))
    return colours[np.abs(colours - mean).max(1).argmax()]


def _cover(size: tuple[int, int], rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
    """(h, w) float32 0..1 how much each pixel is covered."""
    kind = rng.choice(["line", "lines", "tiled", "logo", "strip", "scribble"], p=[0.42, 0.12, 0.16, 0.15, 0.09, 0.06])
    layer = np.zeros(size, np.float32)
    if kind == "strip":
        return _strip(layer, rng, fonts)
    make = {"logo": _logo, "scribble": _scribble, "lines": _lines}.get(str(kind), _line)
    piece = turned(make(rng, fonts), rng)
    if kind == "tiled":
        return _tiled(layer, piece, rng)
    return paste(layer, piece, *_where(size, piece.shape, rng))


def _where(size: tuple[int, int], piece: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a piece's corner: whole where it fits, else a part of it, sometimes at an edge."""
    found = []
    for room, extent in zip(size, piece, strict=True):
        low, high = min(0, room - extent), max(0, room - extent)
        edge = float(rng.choice([low, high])) + float(rng.normal(0, 6))
        found.append(int(edge if rng.random() < 0.25 else rng.uniform(low - 0.1 * extent, high + 0.1 * extent)))
    return found[0], found[1]


def paste(layer: np.ndarray, piece: np.ndarray, top: int, left: int) -> np.ndarray:
    """Lays a piece onto a layer, cut where it sticks out."""
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(layer.shape[0], top + piece.shape[0]), min(layer.shape[1], left + piece.shape[1])
    if y1 > y0 and x1 > x0:
        np.maximum(layer[y0:y1, x0:x1], piece[y0 - top : y1 - top, x0 - left : x1 - left], layer[y0:y1, x0:x1])
    return layer


def turned(piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mostly upright, else turned, sheared or stretched."""
    if rng.random() < 0.6:
        return piece
    angle = float(rng.choice([30, 45, 90, -30, -45, -90, rng.uniform(-60, 60), rng.uniform(-8, 8)]))
    height, width = piece.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    matrix[:, :2] = matrix[:, :2] @ np.array([[rng.uniform(0.8, 1.3), rng.uniform(-0.25, 0.25)], [0, 1]])
    corners = matrix[:, :2] @ np.array([[0, width, 0, width], [0, 0, height, height]])
    matrix[:, 2] = -corners.min(1)
    wide, high = (int(v) + 1 for v in np.ptp(corners, axis=1))
    return cv2.warpAffine(piece, matrix, (min(wide, 1200), min(high, 1200)), flags=cv2.INTER_LINEAR)


def words(rng: np.random.Generator) -> str:
    """Letters, digits and parts of addresses in any order."""
    letters = LATIN if rng.random() < 0.85 else CYRILLIC
    text = "".join(rng.choice(list(letters), int(rng.integers(2, 14))))
    text = {0: text, 1: text.upper(), 2: text.lower(), 3: text.title()}[int(rng.integers(4))]
    part = str(rng.choice(PARTS)) if rng.random() < 0.5 else ""
    return (part + text if rng.random() < 0.5 else text + part).strip() or "photo"


def written(rng: np.random.Generator, fonts: Sequence[Path], size: float) -> np.ndarray:
    """A line of text, or its outline: (h, w) float32 0..1."""
    font, text = _opened(fonts[int(rng.integers(len(fonts)))], max(8, int(size))), words(rng)
    stroke = int(rng.integers(1, 3)) if rng.random() < 0.15 else 0
    x0, y0, x1, y1 = font.getbbox(text, stroke_width=stroke)
    layer = Image.new("L", (int(x1 - x0) + 6, int(y1 - y0) + 6), 0)
    draw = ImageDraw.Draw(layer)
    draw.text((3 - x0, 3 - y0), text, 255, font, stroke_width=stroke, stroke_fill=255)
    if stroke and size > 24:
        draw.text((3 - x0, 3 - y0), text, 0, font)
    return np.asarray(layer, np.float32) / 255


@lru_cache(maxsize=600)
def _opened(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


def text_size(rng: np.random.Generator) -> float:
    """Pixels, mostly small ones."""
    return float(np.exp(rng.uniform(np.log(9), np.log(60)))) if rng.random() < 0.85 else float(rng.uniform(50, 150))


def _line(rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
    return written(rng, fonts, text_size(rng))


def _lines(rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
    """Two lines, of different sizes."""
    size = min(70.0, text_size(rng))
    rows = [written(rng, fonts, size * share) for share in (1, rng.uniform(0.4, 1))]
    layer = np.zeros((sum(row.shape[0] for row in rows) + 4, max(row.shape[1] for row in rows)), np.float32)
    top = 0
    for row in rows:
        paste(layer, row, top, int(rng.choice([0, (layer.shape[1] - row.shape[1]) // 2])))
        top += row.shape[0] + 4
    return layer


def _logo(rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
    """An emblem, outlined or filled, with letters in it and sometimes text beside it."""
    side = int(rng.uniform(22, 130))
    layer = np.zeros((side + 4, side + 4), np.float32)
    filled, wide = rng.random() < 0.3, max(1, int(side * rng.uniform(0.03, 0.12)))
    kind, middle = int(rng.integers(3)), side // 2 + 2
    if kind == 0:
        cv2.circle(layer, (middle, middle), side // 2 - wide // 2, 1.0, -1 if filled else wide, cv2.LINE_AA)
    elif kind == 1:
        cv2.rectangle(layer, (2 + wide // 2,) * 2, (side - wide // 2,) * 2, 1.0, -1 if filled else wide)
    else:
        turn = rng.uniform(0, 6.3) + np.arange(n := int(rng.integers(3, 8))) * 2 * np.pi / n
        ring = (middle + (side / 2 - wide) * np.stack([np.cos(turn), np.sin(turn)], 1)).astype(np.int32)
        (cv2.fillPoly if filled else cv2.polylines)(layer, [ring], *((1.0,) if filled else (True, 1.0, wide)))
    letters = written(rng, fonts, side * rng.uniform(0.3, 0.6))[:, : int(side * 0.8)]
    inside = np.zeros_like(layer)
    paste(inside, letters, (side - letters.shape[0]) // 2, (side - letters.shape[1]) // 2)
    layer = layer * (1 - inside) if filled else np.maximum(layer, inside)
    if rng.random() < 0.5:
        beside = written(rng, fonts, side * rng.uniform(0.25, 0.5))
        whole = np.zeros((max(layer.shape[0], beside.shape[0]), layer.shape[1] + 6 + beside.shape[1]), np.float32)
        paste(whole, layer, 0, 0)
        layer = paste(whole, beside, max(0, (side - beside.shape[0]) // 2), layer.shape[1] + 6)
    return layer


def _scribble(rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
    """Curved strokes as of a signature."""
    wide, high = int(rng.uniform(60, 220)), int(rng.uniform(20, 70))
    steps = np.linspace(0, 1, 80)
    x = steps * wide * 0.8 + sum(wide * rng.uniform(0, 0.09) * np.sin(rng.uniform(5, 45) * steps + k) for k in range(3))
    y = np.sum([rng.uniform(0.2, 1) * np.sin(rng.uniform(5, 60) * steps + k) for k in range(4)], axis=0)
    y = (y - y.min()) / np.ptp(y) * (high - 8) + 4
    layer = np.zeros((high, wide), np.float32)
    points = np.stack([x + 0.1 * wide, y], 1).astype(np.int32)
    cv2.polylines(layer, [points], False, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA)
    return layer


def _tiled(layer: np.ndarray, piece: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece again and again."""
    piece = piece[:200, :400]
    step = [max(12, int(side * rng.uniform(1.05, 2))) for side in piece.shape]
    for row, top in enumerate(range(-int(rng.integers(step[0])), layer.shape[0], step[0])):
        for left in range(-int(rng.integers(step[1])) if row % 2 else -step[1] // 2, layer.shape[1], step[1]):
            paste(layer, piece, top, left)
    return layer


def _strip(layer: np.ndarray, rng: np.random.Generator, fonts: Sequence[Path]) -> np.ndarray:
    """A bar across the crop with text left out of it."""
    high = int(rng.uniform(16, 60))
    top = int(rng.choice([0, layer.shape[0] - high, rng.integers(0, layer.shape[0] - high)]))
    layer[top : top + high] = 1
    text = written(rng, fonts, high * rng.uniform(0.45, 0.75))[:high]
    left = int(rng.uniform(-0.2, 0.8) * layer.shape[1])
    gap = paste(np.zeros_like(layer), text, top + (high - text.shape[0]) // 2, left)
    return layer * (1 - gap)
