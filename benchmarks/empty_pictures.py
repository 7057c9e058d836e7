"""Pictures without people: noise, colours, gradients, text and empty scenes made here, and photographs of things."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bolid.synthetic.people.backdrop import draw_backdrop
from bolid.synthetic.people.scene import aim_at, draw_scene, place_camera

SIZES = ((480, 640), (640, 480), (512, 512), (1024, 768), (768, 1024))
OBJECTS = ("brick", "cell", "chelsea", "coffee", "coins", "color", "grass", "gravel", "hubble_deep_field", "ihc")
OBJECTS += ("logo", "motorcycle_left", "motorcycle_right", "page", "retina", "rocket", "text", "moon", "clock_motion")
WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dogs", "and", "1234567890", "other", "things")


def empty_pictures(each: int = 50) -> Iterator[tuple[str, Image.Image]]:
    """Kind and picture, `each` of every kind, the same ones on every run."""
    for kind, make in KINDS.items():
        rng = np.random.default_rng(0)
        for number in range(each):
            height, width = SIZES[number % len(SIZES)]
            yield kind, make(rng, height, width)


def things() -> Iterator[tuple[str, Image.Image]]:
    """Photographs of animals and things that installed packages ship."""
    folders = {"sklearn": ("datasets/images", ("china", "flower")), "skimage": ("data", OBJECTS)}
    for package, (inner, names) in folders.items():
        spec = find_spec(package)
        for path in sorted((Path(spec.origin).parent / inner).glob("*")) if spec and spec.origin else ():
            if path.stem in names and path.suffix in (".jpg", ".png"):
                with Image.open(path) as picture:
                    yield path.stem, picture.convert("RGB")


def noise(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """White to very coarse noise, coloured or grey."""
    cells = int(rng.integers(1, 64))
    small = rng.integers(0, 256, (-(-height // cells), -(-width // cells), 3 if rng.random() < 0.7 else 1), np.uint8)
    way = cv2.INTER_CUBIC if rng.random() < 0.5 else cv2.INTER_NEAREST
    made = cv2.resize(np.repeat(small, 3 // small.shape[2], 2), (width, height), interpolation=way)
    return Image.fromarray(made)


def flat(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """One colour."""
    return Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist()))


def gradient(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """From colour to colour, along a line or around a point."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    angle, (at_y, at_x) = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1, 2)
    along = x * np.cos(angle) + y * np.sin(angle) if rng.random() < 0.5 else np.hypot(x - at_x, y - at_y)
    share = ((along - along.min()) / np.ptp(along))[..., None]
    first, last = rng.integers(0, 256, (2, 3))
    return Image.fromarray((first * (1 - share) + last * share).astype(np.uint8))


def text(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A page of words."""
    paper, ink = (245, 20) if rng.random() < 0.7 else (30, 230)
    made = Image.new("RGB", (width, height), (paper,) * 3)
    draw, size = ImageDraw.Draw(made), int(rng.integers(12, 60))
    for y in range(size, height - size, int(size * 1.4)):
        line = " ".join(rng.choice(WORDS, 12))
        draw.text((size, y), line, fill=(ink,) * 3, font=ImageFont.load_default(size))
    return made


def shapes(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """Boxes, discs and lines on a ground: a room, a table, a street without anybody."""
    made = Image.new("RGB", (width, height), tuple(rng.integers(60, 256, 3).tolist()))
    draw, horizon = ImageDraw.Draw(made), int(height * rng.uniform(0.4, 0.8))
    draw.rectangle((0, horizon, width, height), fill=tuple(rng.integers(40, 200, 3).tolist()))
    for _ in range(int(rng.integers(2, 12))):
        x, y = rng.integers(0, width), rng.integers(0, height)
        corner = (int(x), int(y), int(x + rng.integers(10, width // 2)), int(y + rng.integers(10, height // 2)))
        draw_one = (draw.rectangle, draw.ellipse)[int(rng.integers(0, 2))]
        draw_one(corner, fill=tuple(rng.integers(0, 256, 3).tolist()))
    return made.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2)))


def scene(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A place of the renderer, before anybody stands in it."""
    drawn = draw_scene(rng, "full length")
    camera = place_camera(drawn, aim_at(drawn, np.zeros((17, 3))))
    colours, _ = draw_backdrop(drawn, camera, height, width, np.zeros((0, 3)), None)
    grain = rng.normal(0, rng.uniform(0, 0.03), colours.shape)
    return Image.fromarray((np.clip(colours + grain, 0, 1) * 255).astype(np.uint8))


KINDS = {"noise": noise, "flat": flat, "gradient": gradient, "text": text, "shapes": shapes, "scene": scene}
