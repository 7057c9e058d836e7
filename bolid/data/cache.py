"""Resized copies of the photos in memory-mapped files, so that training does not wait for decoding.

A `ViewCache` holds one view of every record, as plain arrays in `<folder>/.cache/<name>-<key>/`: mapped into memory,
they are shared by all workers and ranks. The key is a hash of the photos' names, sizes, dates and boxes, so that a
changed photo gets a new cache; caches of the same name that are unused for a day are removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.safe_io import MAX_PIXELS, PictureError, atomic_path, open_picture, sha256
from bolid.core.schema import ImageRecord
from bolid.data.shards import FolderPhotos, ShardPhotos, photos_of
from bolid.models.crop import crop_window

View = Literal["frame", "person"]
Photos = FolderPhotos | ShardPhotos
GREY = 128  # fill value outside the photo; about 0 after scaling to -1..1
_UNUSED = 24 * 3600  # seconds; another run may be using a cache of other photos of the same folder
_VERSION = 3  # increase it when the same photo gives another array


class Geometry(NamedTuple):
    """Transform from photo to view: view x = `scale_x` * photo x + `offset_x`, likewise y; sizes in pixels."""

    photo_width: float
    photo_height: float
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float


def crop_box(record: ImageRecord, view: View, photo: tuple[int, int], size: tuple[int, int]) -> list[int]:
    """The crop of a view in whole pixels; that of a person may extend beyond the photo.

    Args:
        record: Record with the person's box.
        view: `frame`: the largest crop of the view's aspect, as central as keeps the person inside; `person`: see
            `crop_window`.
        photo: Width and height of the photo.
        size: Height and width of the view.

    Returns:
        x0, y0, x1, y1.
    """
    if view == "person":
        return crop_window(torch.from_numpy(record.box), (photo[1], photo[0]), size)
    width = min(photo[0], max(1, round(photo[1] * size[1] / size[0])))
    height = min(photo[1], max(1, round(photo[0] * size[0] / size[1])))
    x0, y0, x1, y1 = record.box.round().astype(int).tolist()
    left, top = _start(photo[0], width, x0, x1), _start(photo[1], height, y0, y1)
    return [left, top, left + width, top + height]


def _start(whole: int, part: int, low: int, high: int) -> int:
    """The start of a part of 0..whole that contains low..high, or else its middle."""
    central, middle = (whole - part) // 2, (low + high - part) // 2
    if high <= low:  # no person's box
        return central
    wanted = min(max(central, high - part), low) if high - low <= part else middle
    return min(max(wanted, 0), whole - part)


def cut(picture: Image.Image, crop: list[int], size: tuple[int, int], fill: int) -> tuple[np.ndarray, Geometry]:
    """Crops and resizes to `size` (height, width), bilinear with antialiasing; `fill` outside the image.

    Raises:
        PictureError: If the crop is so much larger than the image that padding it would exhaust the memory.
    """
    x0, y0, x1, y1 = crop
    width, height = x1 - x0, y1 - y0
    if width * height > 2 * MAX_PIXELS:
        raise PictureError(f"a person's box of {width}x{height} pixels has no sensible shape.")
    if x0 < 0 or y0 < 0 or x1 > picture.width or y1 > picture.height:
        canvas = Image.new(picture.mode, (width, height), fill if picture.mode == "L" else (fill,) * 3)
        canvas.paste(picture, (-x0, -y0))
    else:
        canvas = picture.crop((x0, y0, x1, y1))
    shown = canvas.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    scale_x, scale_y = size[1] / width, size[0] / height
    return np.asarray(shown), Geometry(*picture.size, scale_x, scale_y, -x0 * scale_x, -y0 * scale_y)


class ViewCache:
    """Resized copies of one view of all records, built on first use; an interrupted build resumes.

    Attributes:
        skipped: Messages that name the unusable photos.
    """

    def __init__(
        self, records: Sequence[ImageRecord], folder: Path, view: View, size: tuple[int, int], name: str = "photos"
    ) -> None:
        """Builds missing copies, with a progress bar.

        Args:
            records: The photos; row k of every array is record k's.
            folder: Their top folder.
            view: `frame` or `person`, see `crop_box`.
            size: Height and width of the copies in pixels.
            name: Name of the cache within the folder, such as the split.

        Raises:
            BolidError: If the cache cannot be written.
        """
        self._size = size
        self._count = len(records)
        self.skipped: list[str] = []
        prefix = f"{name}-{view}-{size[0]}x{size[1]}"
        photos = photos_of(folder)
        self.path = folder / ".cache" / f"{prefix}-{_key(records, photos, view, size)}"
        try:
            self._allocate()
            self._build(records, photos, view)
        except OSError as error:
            raise BolidError(f"{self.path}: cannot write working-size copies ({error}).") from error
        self._remove_outdated(prefix)

    @cached_property
    def pictures(self) -> np.ndarray:
        """(N, h, w, 3) uint8."""
        return self._open("pictures")

    @cached_property
    def silhouettes(self) -> np.ndarray:
        """(N, h, w) uint8, 0..255; zeros if there is no silhouette."""
        return self._open("silhouettes")

    @cached_property
    def geometry(self) -> np.ndarray:
        """(N, 6) float64: each record's `Geometry`."""
        return self._open("geometry")

    @cached_property
    def good(self) -> np.ndarray:
        """(N,) bool: usable photos."""
        return self._open("good")

    def __getstate__(self) -> dict[str, object]:
        # Pickling a memory map would copy all of it; a spawned worker maps the files itself.
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
                    np.lib.format.open_memmap(temporary, "w+", dtype, shape)
                    _reserve(temporary)

    def _build(self, records: Sequence[ImageRecord], photos: Photos, view: View) -> None:
        todo = np.flatnonzero(~self.good)  # unreadable photos are tried again: the error may have been transient
        if not len(todo):
            return
        from tqdm import tqdm

        arrays = [self._open(name, "r+") for name in ("pictures", "silhouettes", "geometry", "good")]

        def one(k: int) -> str | None:
            try:
                arrays[0][k], arrays[1][k], arrays[2][k] = _read(records[k], photos, view, self._size)
            except BolidError as error:
                return str(error)
            arrays[3][k] = True  # set last, so that a marked row is complete
            return None

        title = f"working copies of {photos.folder.name}"
        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow releases the GIL while decoding
            errors = list(tqdm(pool.map(one, todo), title, len(todo), unit="photo", disable=len(todo) < 200))
        self.skipped = [error for error in errors if error is not None]
        del self.good  # mapped before it was filled; the next access maps it again

    def _remove_outdated(self, prefix: str) -> None:
        os.utime(self.path)
        for other in self.path.parent.glob(f"{prefix}-*"):
            if time.time() - other.stat().st_mtime > _UNUSED:
                shutil.rmtree(other, ignore_errors=True)


def _reserve(path: Path) -> None:
    """Allocates the file's disk space in advance: writing to a memory map on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _read(record: ImageRecord, photos: Photos, view: View, size: tuple[int, int]):
    with photos.file(record.file_name) as path:
        picture = open_picture(path)
        check_unchanged(record, path)
    crop = crop_box(record, view, picture.size, size)
    try:
        pixels, geometry = cut(picture, crop, size, GREY)
    except PictureError as error:
        raise PictureError(f"{photos.folder / record.file_name}: {error}") from error
    return pixels, _read_silhouette(record, photos, picture.size, crop, size), geometry


def check_unchanged(record: ImageRecord, path: Path) -> None:
    """Refuses a photo whose file has changed since it was annotated.

    Raises:
        PictureError: If its hash differs; a row without a hash is not checked.
    """
    if record.sha256 and sha256(path) != record.sha256:
        raise PictureError(
            f"{path}: changed since it was annotated, so that its keypoints are another photo's; run `bolid data "
            "annotate`"
        )


def _read_silhouette(
    record: ImageRecord, photos: Photos, photo: tuple[int, int], crop: list[int], size: tuple[int, int]
) -> np.ndarray:
    if record.silhouette is None:
        return np.zeros(size, np.uint8)
    with photos.file(record.silhouette) as path:
        mask = open_picture(path).convert("L")
    if mask.size != photo:
        raise PictureError(
            f"{photos.folder / record.silhouette}: the silhouette's size {mask.size} is not its photo's, {photo}."
        )
    return cut(mask, crop, size, 0)[0]


def _key(records: Sequence[ImageRecord], photos: Photos, view: View, size: tuple[int, int]) -> str:
    digest = hashlib.sha256(f"{_VERSION} {view} {size}".encode())
    for record in records:
        digest.update(f"{record.file_name}\0{record.silhouette}\0{photos.stamp(record.file_name)}".encode())
        if record.silhouette:
            digest.update(photos.stamp(record.silhouette).encode())
        digest.update(record.box.astype(np.float32).tobytes())
    return digest.hexdigest()[:16]
