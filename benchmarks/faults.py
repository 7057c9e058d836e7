"""Photos of a set with faults planted into them: what `benchmarks/curate.py` counts."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from bolid.bundle.stamps import stamp
from bolid.bundle.watermark import fonts
from bolid.core.photos import open_photo

Pictures = Sequence[Path]


def jpeg(picture: Image.Image, quality: int = 92, **more: object) -> bytes:
    """As a file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, **more)
    return file.getvalue()


def two_people(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """Two photos side by side as one, cut so that the middle of each is seen."""
    size = picture.size
    half = (size[0] // 2, size[1])
    halves = [ImageOps.fit(p, half, Image.Resampling.BICUBIC) for p in (picture, other)]
    whole = Image.new("RGB", (2 * half[0], size[1]))
    whole.paste(halves[0], (0, 0))
    whole.paste(halves[1], (half[0], 0))
    return jpeg(whole)


def wrong_person(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """Somebody else."""
    return jpeg(other)


def watermark(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """A stamp in a font that the network has not been trained on."""
    return jpeg(stamp(picture, rng, fonts(held=True))[0], int(rng.integers(80, 96)))


def blur(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """Out of focus by 3 to 8 pixels at 1024, shaken, or enlarged from a thumbnail."""
    scale, kind = min(picture.size) / 1024, int(rng.integers(3))
    if kind == 0:
        return jpeg(picture.filter(ImageFilter.GaussianBlur(rng.uniform(3, 8) * scale)))
    if kind == 1:
        small = picture.resize([max(8, int(side * rng.uniform(0.08, 0.2) / scale)) for side in picture.size])
        return jpeg(small.resize(picture.size, Image.Resampling.BICUBIC))
    return jpeg(shaken(picture, int(rng.uniform(17, 45) * scale), rng.uniform(0, 180)))


def shaken(picture: Image.Image, length: int, angle: float) -> Image.Image:
    """Moved along a line of so many pixels during the exposure."""
    import cv2

    length = max(9, length | 1)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), angle, 1)
    kernel = cv2.warpAffine(line, turn, (length, length))
    return Image.fromarray(cv2.filter2D(np.asarray(picture), -1, kernel / kernel.sum()))


def small(picture: Image.Image, other: Image.Image, rng: np.random.Generator, least: int = 1000) -> bytes:
    """Fewer pixels than the least."""
    side = rng.uniform(0.2, 0.95) * least / min(picture.size)
    return jpeg(picture.resize([max(8, round(s * side)) for s in picture.size], Image.Resampling.LANCZOS))


def near_copy(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """Saved anew: other quality and brightness, up to 2 % cut off, sometimes mirrored, enlarged, or the same file."""
    kind = int(rng.integers(5))
    if kind == 0:
        return jpeg(picture)
    cut = rng.uniform(0, 0.01, 4) * min(picture.size)
    shown = picture.crop((cut[0], cut[1], picture.width - cut[2], picture.height - cut[3]))
    shown = ImageEnhance.Brightness(shown).enhance(rng.uniform(0.88, 1.12))
    shown = ImageEnhance.Contrast(shown).enhance(rng.uniform(0.9, 1.15))
    shown = ImageOps.mirror(shown) if kind == 1 else shown
    return jpeg(shown.resize(picture.size, Image.Resampling.BICUBIC), int(rng.integers(40, 95)))


def truncated(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """The file ends early."""
    whole = jpeg(picture)
    return whole[: int(len(whole) * rng.uniform(0.02, 0.97))]


def damaged_exif(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """An orientation of the wrong type, a directory that ends early, or one that points beyond the data."""
    kind = int(rng.integers(4))
    start = b"Exif\0\0II*\0\x08\0\0\0"
    orientation = {
        0: b"\x12\x01\x02\0\x06\0\0\0\x1a\0\0\0",  # text
        1: b"\x12\x01\x05\0\x01\0\0\0\xff\xff\0\0",  # a fraction, beyond the end
        2: b"\x12\x01\x03\0\x01\0\0\0\x63\0\0\0",  # 99
        3: b"\x12\x01\x03\0",  # cut off
    }[kind]
    end = b"\0\0\0\0broken" if kind < 3 else b""
    return jpeg(picture, exif=start + b"\x01\0" + orientation + end)


def dark(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """Nearly black."""
    return jpeg(ImageEnhance.Brightness(picture).enhance(rng.uniform(0.02, 0.2)))


KINDS: dict[str, Callable[[Image.Image, Image.Image, np.random.Generator], bytes]] = {
    "two people": two_people,
    "wrong person": wrong_person,
    "watermark": watermark,
    "blur": blur,
    "small": small,
    "near copy": near_copy,
    "truncated": truncated,
    "damaged EXIF": damaged_exif,
    "dark": dark,
}
OWN = {"two people": "people", "wrong person": "identity", "watermark": "watermark", "blur": "blurry", "small": "size"}
OWN |= {"near copy": "copies", "truncated": "decodable", "damaged EXIF": "decodable", "dark": "exposure"}


def plant(
    good: dict[str, Pictures], spare: dict[str, Pictures], folder: Path, each: int, least: int = 1000, seed: int = 0
) -> dict[str, tuple[str, str]]:
    """Writes good photos and faulty ones as FOLDER/PERSON/PHOTO.jpg.

    Args:
        good: Person -> photos that are to be kept.
        spare: Person -> further photos, into which faults are planted; near copies are of good ones.
        folder: Where to.
        each: Faults of each kind.
        least: Pixels below which a photo is small.
        seed: Of the faults.

    Returns:
        File name -> kind ("good" or one of `KINDS`), and, of a near copy, the file name of what it is a copy of.
    """
    planted: dict[str, tuple[str, str]] = {}
    for person, files in good.items():
        for path in files:
            _write(folder, f"{person}/{path.stem}.jpg", jpeg(open_photo(path)), planted, "good")
    rng, people = np.random.default_rng(seed), sorted(good)
    for kind, make in KINDS.items():
        for number in range(each):
            person, another = rng.choice(people, 2, replace=False)
            files = good[person] if kind == "near copy" else spare[person]
            path, elsewhere = (some[int(rng.integers(len(some)))] for some in (files, spare[another]))
            more = {"least": least} if kind == "small" else {}
            data = make(open_photo(path), open_photo(elsewhere), rng, **more)
            home = another if kind == "near copy" and number % 3 == 0 else person
            name = f"{home}/{kind.replace(' ', '_')}_{number}.jpg"
            _write(folder, name, data, planted, kind, f"{person}/{path.stem}.jpg" if kind == "near copy" else "")
    return planted


def _write(folder: Path, name: str, data: bytes, planted: dict, kind: str, of: str = "") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    planted[name] = (kind, of)
