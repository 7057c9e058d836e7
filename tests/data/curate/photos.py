"""Photos that are quickly made: people's folders of noise and shapes, each unlike the others."""

from io import BytesIO

import numpy as np
from PIL import Image


def picture(seed, size=(160, 120)):
    """A picture (width, height) with sharp shapes on a smooth background."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (5, 4, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    shown = np.asarray(coarse).copy()
    for _ in range(6):
        x, y = rng.integers(0, [size[0] - 20, size[1] - 20])
        w, h = rng.integers(10, 60, 2)
        shown[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return Image.fromarray(shown)


def jpeg(shown, quality=92, **more):
    """As a file's bytes."""
    file = BytesIO()
    shown.save(file, "JPEG", quality=quality, **more)
    return file.getvalue()


def write(folder, name, data):
    """Writes bytes, or a picture, and returns the path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else jpeg(data))
    return path


def people(folder, count=3, photos=4):
    """FOLDER/pK/N.jpg, each of another picture; returns the names."""
    names = [f"p{p}/{n}.jpg" for p in range(count) for n in range(photos)]
    for k, name in enumerate(names):
        write(folder, name, picture(k))
    return names
