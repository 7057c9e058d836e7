"""Photos of a set with faults planted into them: what `benchmarks/curate.py` counts."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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
    """A second person pasted beside the first, or two photos side by side as one, the middle of each seen."""
    if rng.random() < 0.5 and (beside := pasted(picture, other, rng.uniform(0.8, 1))) is not None:
        return jpeg(beside)
    size = picture.size
    half = (size[0] // 2, size[1])
    halves = [ImageOps.fit(p, half, Image.Resampling.BICUBIC) for p in (picture, other)]
    whole = Image.new("RGB", (2 * half[0], size[1]))
    whole.paste(halves[0], (0, 0))
    whole.paste(halves[1], (half[0], 0))
    return jpeg(whole)


def pasted(picture: Image.Image, other: Image.Image, height: float) -> Image.Image | None:
    """The photo, widened, with the other photo's person cut out along the silhouette; None where nobody is found.

    Args:
        picture: The photo; its border goes on to the right.
        other: With the person.
        height: The cut-out's share of the photo's height.
    """
    import cv2

    mask = Image.fromarray(blazepose().silhouette(other))
    box = mask.point(lambda value: 255 * (value > 127)).getbbox()
    if box is None or box[3] - box[1] < other.height / 8:
        return None
    size = round((box[2] - box[0]) * height * picture.height / (box[3] - box[1])), round(height * picture.height)
    person, outline = (p.crop(box).resize(size, Image.Resampling.BICUBIC) for p in (other, mask))
    wide = cv2.copyMakeBorder(np.asarray(picture), 0, 0, 0, round(size[0] * 0.9), cv2.BORDER_REPLICATE)
    whole = Image.fromarray(wide)
    whole.paste(person, (whole.width - size[0], whole.height - size[1]), outline)
    return whole


@cache
def blazepose() -> Any:
    """The network that finds silhouettes."""
    from bolid.vision.load import blazepose as load

    return load("blazepose")


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


def light(picture: Image.Image, other: Image.Image, rng: np.random.Generator) -> bytes:
    """Nearly white."""
    return jpeg(Image.blend(Image.new("RGB", picture.size, "white"), picture, rng.uniform(0.02, 0.2)))


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
    "light": light,
}
OWN = {"two people": "people", "wrong person": "identity", "watermark": "watermark", "blur": "blurry", "small": "size"}
OWN |= {"near copy": "copies", "truncated": "decodable", "damaged EXIF": "decodable"}
OWN |= {"dark": "exposure", "light": "exposure"}


MAJORITY = 3  # faces of a person, with fewer of which nobody is somebody else


class Planted(NamedTuple):
    """A photo of the set.

    Attributes:
        kind: "good" or one of `KINDS`.
        of: Of a near copy, the file name of what it is a copy of.
    """

    kind: str
    of: str = ""


def plant(
    kind: str,
    good: dict[str, Pictures],
    spare: dict[str, Pictures],
    folder: Path,
    each: int,
    least: int = 1000,
    seed: int = 0,
    clear: Collection[Path] | None = None,
) -> dict[str, Planted]:
    """Writes good photos, and faulty ones of one kind, as FOLDER/PERSON/PHOTO.jpg.

    No person gets two faults where there are enough people, nor is one photo twice somebody else's: that is another
    fault, a copy.

    Args:
        kind: One of `KINDS`, or anything else for none.
        good: Person -> photos that are to be kept; they are written once, beside the folder in `good`, and linked.
        spare: Person -> further photos, into which faults are planted; near copies are of good ones.
        folder: Where to.
        each: How many faults.
        least: Pixels below which a photo is small.
        seed: Of the faults.
        clear: Photos with a face that can be read, by default all. Of these wrong persons are taken, and put where at
            least three of the good photos are such.

    Returns:
        File name -> what it is.
    """
    planted = _good(good, folder)
    if kind not in KINDS:
        return planted
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    strangers = [p for p in sorted(set().union(*spare.values())) if clear is None or p in clear]
    rng.shuffle(strangers)
    people = sorted(good if kind in ("near copy", "wrong person") else spare)
    if kind == "wrong person" and clear is not None:
        people = [p for p in people if len(set(good[p]) & set(clear)) >= MAJORITY]
    homes = [str(person) for _ in range(-(-each // len(people))) for person in rng.permutation(people)][:each]
    for number, person in enumerate(homes):
        files = good[person] if kind == "near copy" else spare.get(person, ())
        elsewhere = next(p for p in strangers if p not in spare.get(person, ()))
        path = files[int(rng.integers(len(files)))] if files else elsewhere
        pictures = open_photo(path), open_photo(elsewhere)
        data = small(*pictures, rng, least) if kind == "small" else KINDS[kind](*pictures, rng)
        strangers.remove(elsewhere)
        strangers += [] if kind == "wrong person" else [elsewhere]
        home = str(rng.choice(people)) if kind == "near copy" and number % 3 == 0 else person
        name = f"{home}/{kind.replace(' ', '_')}_{seed}_{number}.jpg"
        (folder / home).mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        planted[name] = Planted(kind, stored(person, path) if kind == "near copy" else "")
    return planted


def stored(person: str, path: Path) -> str:
    """Under which name a good photo lies in a set: two rendered folders may hold photos of the same name."""
    return f"{person}/{path.parts[-3]}_{path.stem}.jpg"


def _good(good: dict[str, Pictures], folder: Path) -> dict[str, Planted]:
    """Links good photos into the folder, written once for all kinds of faults."""
    planted = {}
    for person, files in good.items():
        (folder / person).mkdir(parents=True, exist_ok=True)
        for path in files:
            name = stored(person, path)
            once = folder.parent / "good" / name
            if not once.exists():
                once.parent.mkdir(parents=True, exist_ok=True)
                once.write_bytes(jpeg(open_photo(path)))
            (folder / name).hardlink_to(once)
            planted[name] = Planted("good")
    return planted
