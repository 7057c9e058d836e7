"""Working-size copies of the photos, so that decoding never starves a training step.

A `ViewCache` holds one view of every record, as plain arrays in `<folder>/.cache/<name>-<key>/`: mapped into memory,
they are shared by all workers and ranks. The key follows from the photos' names, sizes, dates and boxes, so that a
changed photo gets a new cache; the old one of the same name is removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.safe_io import PictureError, atomic_path, open_picture, resolve_inside
from bolid.core.schema import PersonRecord

View = Literal["frame", "person"]
MARGIN = 0.1  # of the person's box, on every side
GREY = 128  # what lies outside the photo; 0 after scaling to -1..1
_VERSION = 1  # raise it when the same photo would give another array


class Geometry(NamedTuple):
    """How a photo became a view: view x = `scale_x` * photo x + `offset_x`, likewise y; sizes in pixels."""

    photo_width: float
    photo_height: float
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


def crop_box(record: PersonRecord, view: View, photo: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The part of the photo that a view shows, with the view's aspect; a person's may reach beyond the photo.

    Args:
        record: Whose box it is.
        view: `frame`: the largest centred part; `person`: the box and a margin of 10 %, widened to the aspect.
        photo: Width and height of the photo.
        size: Height and width of the view.

    Returns:
        (4,) x0, y0, x1, y1 in pixels of the photo.
    """
    aspect = size[1] / size[0]
    x0, y0, x1, y1 = np.clip(record.box, 0, [*photo, *photo])
    if view == "frame" or x1 - x0 < 1 or y1 - y0 < 1:
        width = min(photo[0], photo[1] * aspect)
        centre = np.array(photo) / 2
    else:
        width = max((x1 - x0), (y1 - y0) * aspect) * (1 + 2 * MARGIN)
        centre = np.array([x0 + x1, y0 + y1]) / 2
    half = np.array([width, width / aspect]) / 2
    return np.concatenate([centre - half, centre + half])


def cut(picture: Image.Image, crop: np.ndarray, size: tuple[int, int], fill: int) -> tuple[np.ndarray, Geometry]:
    """Cuts `crop` out and scales it to `size` (height, width); beyond the picture there is `fill`.

    Only the part inside the picture is resampled and then laid on the canvas, so that memory is bounded whatever the
    crop. Both are rounded to whole pixels, and the geometry is that of the rounded rectangles.
    """
    height, width = size
    scale = np.array([width / (crop[2] - crop[0]), height / (crop[3] - crop[1])] * 2)
    low, high = np.floor(crop[:2]).clip(0), np.ceil(crop[2:]).clip(1)
    part = np.concatenate([low, np.minimum(high, picture.size)]).astype(int)
    place = np.rint((part - crop[[0, 1, 0, 1]]) * scale).clip(0, [width, height] * 2).astype(int)
    place[2:] = np.maximum(place[2:], place[:2] + 1)
    shown = picture.resize(tuple(place[2:] - place[:2]), Image.Resampling.LANCZOS, tuple(part), reducing_gap=3.0)
    canvas = Image.new(picture.mode, (width, height), fill if picture.mode == "L" else (fill,) * 3)
    canvas.paste(shown, tuple(place[:2]))
    scale_x, scale_y = (place[2:] - place[:2]) / (part[2:] - part[:2])
    offset_x, offset_y = place[:2] - part[:2] * (scale_x, scale_y)
    return np.asarray(canvas), Geometry(*picture.size, scale_x, scale_y, offset_x, offset_y)


class ViewCache:
    """One view of all records, built on first use and resumed where a kill left it.

    Attributes:
        skipped: Messages naming the photos that could not be used.
    """

    def __init__(
        self, records: Sequence[PersonRecord], folder: Path, view: View, size: tuple[int, int], name: str = "photos"
    ) -> None:
        """Builds what is missing, with a progress bar.

        Args:
            records: The photos; row k of every array is record k's.
            folder: Their top folder.
            view: `frame` or `person`, see `crop_box`.
            size: Height and width of the copies in pixels.
            name: Tells caches of one folder apart, for example by split.

        Raises:
            BolidError: if the cache cannot be written.
        """
        self._size = size
        self._count = len(records)
        self.skipped: list[str] = []
        prefix = f"{name}-{view}-{size[0]}x{size[1]}"
        self.path = folder / ".cache" / f"{prefix}-{_key(records, folder, view, size)}"
        try:
            self._allocate()
            self._build(records, folder, view)
        except OSError as error:
            raise BolidError(f"{self.path}: cannot write working-size copies ({error}).") from error
        self._remove_outdated(prefix)

    @cached_property
    def pictures(self) -> np.ndarray:
        """(N, h, w, 3) uint8."""
        return self._open("pictures")

    @cached_property
    def silhouettes(self) -> np.ndarray:
        """(N, h, w) uint8, 0..255; zeros where there is none."""
        return self._open("silhouettes")

    @cached_property
    def geometry(self) -> np.ndarray:
        """(N, 6) float64: each record's `Geometry`."""
        return self._open("geometry")

    @cached_property
    def good(self) -> np.ndarray:
        """(N,) bool: which photos can be used."""
        return self._open("good")

    def __getstate__(self) -> dict[str, object]:
        # A pickled memory map would be a copy of it all; a spawned worker maps the files itself.
        mapped = ("pictures", "silhouettes", "geometry", "good")
        return {k: v for k, v in self.__dict__.items() if k not in mapped}

    def _open(self, name: str, mode: Literal["r", "r+"] = "r") -> np.ndarray:
        return np.load(self.path / f"{name}.npy", mmap_mode=mode if self._count else None)

    def _allocate(self) -> None:
        height, width = self._size
        shapes = {
            "pictures": ((self._count, height, width, 3), np.uint8),
            "silhouettes": ((self._count, height, width), np.uint8),
            "geometry": ((self._count, len(Geometry._fields)), np.float64),
            "good": ((self._count,), np.bool_),
        }
        for name, (shape, dtype) in shapes.items():
            if not (self.path / f"{name}.npy").is_file():
                with atomic_path(self.path / f"{name}.npy") as temporary:
                    np.lib.format.open_memmap(temporary, "w+", dtype, shape).flush()

    def _build(self, records: Sequence[PersonRecord], folder: Path, view: View) -> None:
        todo = np.flatnonzero(~self.good)  # what was unreadable is tried again: the disk may have been at fault
        if not len(todo):
            return
        from tqdm import tqdm

        arrays = [self._open(name, "r+") for name in ("pictures", "silhouettes", "geometry", "good")]

        def one(k: int) -> str | None:
            try:
                arrays[0][k], arrays[1][k], arrays[2][k] = _read(records[k], folder, view, self._size)
            except BolidError as error:
                return str(error)
            arrays[3][k] = True  # last: a row that says so is whole
            return None

        title = f"working copies of {folder.name}"
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow lets go of the interpreter's lock where it matters
            errors = list(tqdm(pool.map(one, todo), title, len(todo), unit="photo", disable=len(todo) < 200))
        self.skipped = [error for error in errors if error is not None]
        for array in arrays:
            array.flush()
        del self.good

    def _remove_outdated(self, prefix: str) -> None:
        for other in self.path.parent.glob(f"{prefix}-*"):
            if other != self.path:
                shutil.rmtree(other, ignore_errors=True)


def _read(record: PersonRecord, folder: Path, view: View, size: tuple[int, int]):
    picture = open_picture(resolve_inside(folder, record.file_name))
    crop = crop_box(record, view, picture.size, size)
    pixels, geometry = cut(picture, crop, size, GREY)
    return pixels, _read_silhouette(record, folder, picture.size, crop, size), geometry


def _read_silhouette(
    record: PersonRecord, folder: Path, photo: tuple[int, int], crop: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
    if record.silhouette is None:
        return np.zeros(size, np.uint8)
    path = resolve_inside(folder, record.silhouette)
    mask = open_picture(path).convert("L")
    if mask.size != photo:
        raise PictureError(f"{path}: the silhouette's size {mask.size} is not its photo's, {photo}.")
    return cut(mask, crop, size, 0)[0]


def _key(records: Sequence[PersonRecord], folder: Path, view: View, size: tuple[int, int]) -> str:
    digest = hashlib.sha256(f"{_VERSION} {view} {size}".encode())
    for record in records:
        digest.update(f"{record.file_name}\0{record.silhouette}\0{_stamp(folder / record.file_name)}".encode())
        if record.silhouette:
            digest.update(_stamp(folder / record.silhouette).encode())
        digest.update(record.box.astype(np.float32).tobytes())
    return digest.hexdigest()[:16]


def _stamp(path: Path) -> str:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_size} {status.st_mtime_ns}"
