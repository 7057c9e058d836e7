"""Watermarks of many kinds on whole photos, to evaluate the watermark network, not to train it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

WORDS = [
    "photo",
    "gallery",
    "studio",
    "archive",
    "images",
    "press",
    "agency",
    "media",
    "star",
    "sample",
    "stock",
    "news",
]
ENDINGS = (".com", ".net", ".ru", ".org", ".info", "")
KINDS = {"corner": 0.45, "middle": 0.15, "tiled": 0.12, "logo": 0.18, "strip": 0.1}


def stamp(
    picture: Image.Image, rng: np.random.Generator, fonts: Sequence[Path], kind: str | None = None
) -> tuple[Image.Image, np.ndarray]:
    """A marked copy of an RGB image.

    Args:
        picture: With a shorter side of 256 pixels or more.
        rng: Draws kind, text, place, size and strength.
        fonts: Files of fonts.
        kind: One of `KINDS`; by default by lot.

    Returns:
        The image, and (h, w) float32 0..1 how much each pixel is covered.
    """
    kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
    layer = Image.new("L", picture.size, 0)
    draw = {"corner": _corner, "middle": _middle, "tiled": _tiled, "logo": _logo, "strip": _strip}[kind]
    draw(layer, rng, fonts)
    strong = {"corner": (0.35, 1.0), "logo": (0.3, 1.0), "strip": (0.6, 1.0)}.get(kind, (0.18, 0.6))
    alpha = float(rng.uniform(*strong))
    cover = np.asarray(layer, np.float32) / 255
    shown: np.ndarray = np.asarray(picture, np.float32)
    ink = _ink(shown, cover, rng)
    if rng.random() < 0.3:
        shadow = np.asarray(layer.filter(ImageFilter.GaussianBlur(1.2)), np.float32) / 255
        shadow = np.roll(shadow, (1, 1), (0, 1)) * alpha * 0.7
        shown = shown * (1 - shadow[..., None]) + (0 if ink.mean() > 127 else 255) * shadow[..., None]
    mixed = shown * (1 - alpha * cover[..., None]) + ink * alpha * cover[..., None]
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8)), cover * (alpha > 0)


def _ink(shown: np.ndarray, cover: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour that can be seen: mostly white or black, whichever is farther from what is below, else by lot."""
    below = shown[cover > 0.5].mean(0) if (cover > 0.5).any() else np.full(3, 128.0)
    if rng.random() < 0.75:
        return np.full(3, 255.0 if below.mean() < 150 else 10.0)
    colours = rng.uniform(0, 255, (8, 3))
    return colours[np.abs(colours - below).mean(1).argmax()]


def words(rng: np.random.Generator) -> str:
    """An address, a name with a year, or so."""
    letters = "".join(rng.choice(list(string.ascii_lowercase), int(rng.integers(3, 9))))
    text = str(rng.choice([letters, str(rng.choice(WORDS)) + letters[:3], f"{rng.choice(WORDS)} {rng.choice(WORDS)}"]))
    text = {0: text, 1: text.upper(), 2: text.title()}[int(rng.integers(3))]
    return str(rng.choice(["", "© ", "www.", "@"])) + text + str(rng.choice(ENDINGS))


def _font(rng: np.random.Generator, fonts: Sequence[Path], size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(fonts[int(rng.integers(len(fonts)))]), max(8, int(size)))


def _corner(layer: Image.Image, rng: np.random.Generator, fonts: Sequence[Path]) -> None:
    width, height = layer.size
    font, text = _font(rng, fonts, min(layer.size) * rng.uniform(0.028, 0.075)), words(rng)
    x0, y0, x1, y1 = font.getbbox(text)
    room = max(1, width - (x1 - x0)), max(1, height - (y1 - y0))
    margin = rng.uniform(0.01, 0.06) * min(layer.size)
    x = (margin, room[0] / 2, room[0] - margin)[int(rng.integers(3))]
    y = (margin, room[1] - margin, room[1] - margin)[int(rng.integers(3))]
    ImageDraw.Draw(layer).text((x - x0, y - y0), text, 255, font)


def _turned(layer: Image.Image, text: str, font: ImageFont.FreeTypeFont, angle: float) -> Image.Image:
    x0, y0, x1, y1 = font.getbbox(text)
    piece = Image.new("L", (int(x1 - x0) + 8, int(y1 - y0) + 8), 0)
    ImageDraw.Draw(piece).text((4 - x0, 4 - y0), text, 255, font)
    return piece.rotate(angle, Image.Resampling.BICUBIC, expand=True)


def _middle(layer: Image.Image, rng: np.random.Generator, fonts: Sequence[Path]) -> None:
    font = _font(rng, fonts, min(layer.size) * rng.uniform(0.07, 0.18))
    piece = _turned(layer, words(rng), font, float(rng.choice([0, 0, 30, 45, -30])))
    spare = layer.width - piece.width, layer.height - piece.height
    layer.paste(piece, (spare[0] // 2, int(spare[1] * rng.uniform(0.2, 0.8))), piece)


def _tiled(layer: Image.Image, rng: np.random.Generator, fonts: Sequence[Path]) -> None:
    font = _font(rng, fonts, min(layer.size) * rng.uniform(0.035, 0.08))
    piece = _turned(layer, words(rng), font, float(rng.choice([0, 30, 45, -45])))
    step = int(piece.width * rng.uniform(1.1, 1.8)), int(piece.height * rng.uniform(1.2, 2.5))
    for row, y in enumerate(range(0, layer.height, step[1])):
        for x in range(-(row % 2) * step[0] // 2, layer.width, step[0]):
            layer.paste(piece, (x, y), piece)


def _logo(layer: Image.Image, rng: np.random.Generator, fonts: Sequence[Path]) -> None:
    side = int(min(layer.size) * rng.uniform(0.08, 0.2))
    x = int(rng.choice([0.03, 0.97]) * (layer.width - 2 * side)) + 2
    y = int(rng.choice([0.03, 0.97]) * (layer.height - side)) + 2
    draw = ImageDraw.Draw(layer)
    shape = {0: draw.ellipse, 1: draw.rectangle}[int(rng.integers(2))]
    shape((x, y, x + side, y + side), None, 255, max(1, side // 16))
    letters = words(rng)[:2].strip() or "B"
    draw.text((x + side / 2, y + side / 2), letters, 255, _font(rng, fonts, side * 0.5), anchor="mm")
    if rng.random() < 0.6:
        draw.text((x + side * 1.1, y + side / 2), words(rng)[:12], 255, _font(rng, fonts, side * 0.32), anchor="lm")


def _strip(layer: Image.Image, rng: np.random.Generator, fonts: Sequence[Path]) -> None:
    high = int(min(layer.size) * rng.uniform(0.04, 0.09))
    top = int(rng.choice([0, layer.height - high]))
    draw = ImageDraw.Draw(layer)
    draw.rectangle((0, top, layer.width, top + high), 255)
    x = layer.width * rng.uniform(0.2, 0.8)
    draw.text((x, top + high / 2), words(rng) + " " + words(rng), 0, _font(rng, fonts, high * 0.65), anchor="mm")
