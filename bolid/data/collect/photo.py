"""Checks and writes a photo's bytes."""

from __future__ import annotations

import os
import re
import struct
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from bolid.core.safe_io import MAX_PIXELS, atomic_path

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "AVIF": ".avif", "GIF": ".gif"}
SUFFIXES |= {"TIFF": ".tiff", "BMP": ".bmp"}
MAX_JPEG_PIXELS = 170_000_000  # decoded at an eighth, these take little memory
DRAFT = 256  # pixels; JPEG's decoder can downscale
ERRORS = (OSError, SyntaxError, ValueError, EOFError, OverflowError, IndexError, struct.error)  # what decoders raise
SPLITS = ("train", "val", "test")  # as in bolid.core.schema, which loads torch
NAME_LENGTH = 60  # characters of a folder's name: 240 bytes at most, of the 255 that file systems take


class WrongPhoto(Exception):
    """Bytes that are no usable image; the message says why."""


@dataclass(frozen=True)
class Photo:
    """A whole image.

    Attributes:
        content: Its bytes, as they came.
        sha256: SHA-256 of these, in hexadecimal.
        suffix: Suffix of the detected format, whatever the address or the server says.
        size: Width and height in pixels.
    """

    content: bytes
    sha256: str
    suffix: str
    size: tuple[int, int]


def examine(content: bytes) -> Photo:
    """Reads an image's header, refuses too large images by it, and decodes the rest as a check.

    Raises:
        WrongPhoto: If it is no image, a broken one, or one with too many pixels.
    """
    try:
        with Image.open(BytesIO(content), formats=tuple(set(SUFFIXES) - {"MPO"})) as picture:
            size, kind = picture.size, picture.format or ""
            limit = MAX_JPEG_PIXELS if kind in ("JPEG", "MPO") else MAX_PIXELS
            if size[0] * size[1] > limit:
                raise WrongPhoto(f"{size[0]}x{size[1]} is over the limit of {limit / 1e6:.0f} megapixels")
            picture.draft("RGB", (DRAFT, DRAFT))
            picture.load()
    except Image.DecompressionBombError as error:
        raise WrongPhoto("over the limit of pixels") from error
    except UnidentifiedImageError as error:
        raise WrongPhoto("not a picture") from error
    except ERRORS as error:
        raise WrongPhoto(f"not a readable picture ({' '.join(str(error).split())[:100]})") from error
    return Photo(content, sha256(content).hexdigest(), SUFFIXES[kind], size)


def store(folder: Path, identity: str, photo: Photo) -> str:
    """Writes a photo atomically, and returns its name in the folder.

    The name consists of the person's folder and the content's hash; nothing in it comes from the site.
    """
    name = f"{identity}/{photo.sha256[:20]}{photo.suffix}"
    with atomic_path(folder / name) as temporary, open(temporary, "wb") as file:
        file.write(photo.content)
        file.flush()
        os.fsync(file.fileno())
    return name


def folder_name(name: str) -> str:
    """A valid folder name for a person: letters, digits, spaces and ' + - _, at most 60."""
    clean = re.sub(r"[^\w'+-]+", " ", unicodedata.normalize("NFKC", name)).strip(" '+-_")
    clean = clean[:NAME_LENGTH].strip(" '+-_") or "person"
    return f"{clean} person" if clean.casefold() in SPLITS else clean  # FOLDER/train would be a split
