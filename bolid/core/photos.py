"""Photos of every format that Pillow can read, as upright RGB, in bounded memory; and the mark of rendered images.

Formats are recognised by content. Formats that run other programs (EPS, WMF) or are no photos are not opened.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image, JpegImagePlugin

from bolid.core.safe_io import MAX_PIXELS, PictureError

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

log = logging.getLogger(__name__)

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM", "TGA", "QOI")
SUFFIXES: tuple[str, ...] = (
    ".png",
    ".apng",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".mpo",
    ".webp",
    ".avif",
    ".heic",
    ".heif",
    ".hif",
)
SUFFIXES += (".tif", ".tiff", ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi")
# Maximum pixels by the header. A JPEG is decoded at a fraction of its size, JPEG 2000 in
# integers of four bytes.
LIMITS = {"JPEG": 200_000_000, "MPO": 200_000_000, "JPEG2000": 40_000_000}
LIMIT = 80_000_000
ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pillow's decoders raise these for malformed files; other exceptions are bugs and keep their traceback.
_DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, LookupError, OverflowError, TypeError, struct.error)
MARK, RENDERED, GENERATED = "bolid", "rendered", "generated"
_HEIC = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"msf1")
_PNG = b"\x89PNG\r\n\x1a\n"


def open_photo(path: Path, max_pixels: int | None = None, reduce_to: int = MAX_PIXELS) -> Image.Image:
    """Decodes a photo as upright (EXIF) RGB; the first of several frames; transparency on white.

    A photo of more than `reduce_to` pixels is reduced by 2, 4, …, to bound memory. With the default all readers get the
    same pixels, in which a manifest's keypoints and boxes are measured.

    Args:
        path: The file.
        max_pixels: Larger photos are refused from their header, before memory is spent on them; None: 200 megapixels
            for JPEG, 40 for JPEG 2000, 80 for others.
        reduce_to: Upper limit of the result's pixels.

    Raises:
        PictureError: If the file is missing, broken, truncated, too large or of unknown format.
    """
    if not os.path.isfile(path):  # opening a pipe or a device could block
        raise PictureError(f"{path}: no such photo.")
    try:
        with open(path, "rb") as file, _open(file, Path(path)) as picture:
            limit = max_pixels or LIMITS.get(picture.format or "", LIMIT)
            if picture.width * picture.height > limit:
                size = f"{picture.width}x{picture.height}"
                raise PictureError(f"{path}: {size} is over the limit of {limit / 1e6:.0f} megapixels.")
            factor = _factor(picture.width, picture.height, reduce_to)
            if factor > 1 and isinstance(picture, JpegImagePlugin.JpegImageFile):
                picture.draft(None, (picture.width // factor, picture.height // factor))
            picture.load()
            turn = _orientation(picture, path)
            picture = _to_rgb(_reduced(picture, reduce_to))
            return picture if turn is None else picture.transpose(turn)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"{path}: over the limit of {(max_pixels or LIMIT) / 1e6:.0f} megapixels.") from error
    except MemoryError as error:
        raise PictureError(f"{path}: there is not enough memory to decode it.") from error
    except _DECODER_ERRORS as error:
        raise PictureError(f"{path}: not a readable photo ({_reason(error, Path(path))}).") from error


def photo_size(path: Path) -> tuple[int, int]:
    """Width and height in the file's pixels, upright, from its header alone.

    Raises:
        PictureError: If it has no readable header.
    """
    if not os.path.isfile(path):
        raise PictureError(f"{path}: no such photo.")
    try:
        with open(path, "rb") as file, _open(file, Path(path)) as picture:
            turn = _orientation(picture, path)
            return picture.size[::-1] if turn in [_TURNS[k] for k in (5, 6, 7, 8)] else picture.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError(f"{path}: over the limit of {LIMIT / 1e6:.0f} megapixels.") from error
    except _DECODER_ERRORS as error:
        raise PictureError(f"{path}: not a readable photo ({_reason(error, Path(path))}).") from error


def _open(file: IO[bytes], path: Path) -> Image.Image:
    start = file.read(16)
    file.seek(0)
    if start[:3] == b"\xff\xd8\xff":  # Image.open refuses 180 megapixels, which draft mode can decode
        return JpegImagePlugin.jpeg_factory(file, str(path))
    known = _formats()
    if start[4:8] == b"ftyp" and start[8:12] in _HEIC and "HEIF" not in known:
        raise ValueError("HEIC needs the extra photos: pip install 'bolid[photos]'")
    if path.suffix.lower() != ".tga":  # TGA has no signature, so almost any file passes for it
        known = tuple(name for name in known if name != "TGA")
    return Image.open(file, formats=known)


@cache
def _formats() -> tuple[str, ...]:
    """Those of `FORMATS` that this Pillow knows."""
    with suppress(ImportError):  # the message of a HEIC photo says what to install
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _reason(error: BaseException, path: Path) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return f"its content is none of {', '.join(_formats())}"
    return str(error) or type(error).__name__


def _factor(width: int, height: int, reduce_to: int) -> int:
    factor = 1
    while -(-width // factor) * -(-height // factor) > reduce_to and factor < max(width, height):
        factor *= 2
    return factor


def _reduced(picture: Image.Image, reduce_to: int) -> Image.Image:
    factor = _factor(*picture.size, reduce_to)
    if factor == 1:
        return picture
    if picture.mode in ("P", "PA", "1") or picture.mode.startswith(("I", "F")):
        picture = _to_rgb(picture)  # of which means can be taken
    return picture.reduce(factor)


def _orientation(picture: Image.Image, path: Path) -> Image.Transpose | None:
    """The transpose that turns the image upright; only this EXIF entry is read."""
    try:
        exif = picture.getexif()
        value = exif.get(ORIENTATION, 1)
        if not isinstance(value, int) or (len(picture.info.get("exif", b"")) > 6 and not len(exif)):
            raise ValueError("they cannot be read")
    except Exception as error:  # malformed EXIF raises many kinds of errors, and the photo is still usable
        log.warning("%s: its EXIF data are damaged, so it is shown unturned (%s)", path, error)
        return None
    return _TURNS.get(value)


def _to_rgb(picture: Image.Image) -> Image.Image:
    mode = picture.mode
    if mode.startswith("I") or mode == "F":
        return _from_numbers(picture).convert("RGB")
    if mode == "LAB":
        return _by_profile(picture, None)
    if mode == "CMYK" and picture.info.get("icc_profile"):
        return _by_profile(picture, picture.info["icc_profile"])
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    try:
        picture = picture.convert("RGBA")
    except ValueError:  # a transparent colour that is invalid in this mode
        return picture.convert("RGB")
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return white


def _from_numbers(picture: Image.Image) -> Image.Image:
    """Grey values of 12, 16 or 32 bits, or floats in 0..1, as bytes.

    Values of unknown range are taken as 0..1, 0..255 or 0..65535, whichever fits, and else stretched.
    """
    import numpy as np

    values = np.asarray(picture)
    bits = _bits(picture)
    if picture.mode != "F" and bits < 32:
        maximum = (1 << bits) - 1
        return Image.fromarray(
            ((values.astype(np.uint32) * 255 + maximum // 2) // maximum).clip(0, 255).astype(np.uint8)
        )
    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    ranges = [1.0, 255.0, 65535.0] if picture.mode == "F" else [65535.0]
    top: float = next((r for r in ranges if high <= r * 1.001), high)
    low = 0.0 if low >= 0 and top in ranges else low
    scaled = (values - low) * (255 / max(top - low, 1e-9))
    return Image.fromarray(scaled.clip(0, 255).round().astype(np.uint8))


def _bits(picture: Image.Image) -> int:
    if picture.mode == "I":
        # PNG and PGM give 16 bits in this mode, TIFF 32.
        return 32 if picture.format == "TIFF" else 16
    tags = getattr(picture, "tag_v2", {})
    found = tags.get(258, (16,))[0] if tags else 16
    return found if found in (10, 12, 14, 16) else 16


def _by_profile(picture: Image.Image, profile: bytes | None) -> Image.Image:
    from io import BytesIO

    from PIL import ImageCms

    try:
        source = ImageCms.createProfile("LAB") if profile is None else ImageCms.ImageCmsProfile(BytesIO(profile))
        found = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError) as error:
        if profile is None:
            raise ValueError(f"LAB cannot be converted ({error})") from error
        return picture.convert("RGB")
    return found or picture.convert("RGB")


def is_rendered(path: Path) -> bool:
    """Whether a file is a PNG with the mark of a rendered or generated image."""
    try:
        with open(path, "rb") as file:
            if file.read(8) != _PNG:
                return False
            for _ in range(32):  # the mark is at the front
                length, kind = struct.unpack(">I4s", file.read(8))
                if kind == b"IDAT" or length > 1 << 20:
                    return False
                content = file.read(length + 4)[:-4]
                if kind == b"tEXt" and content.partition(b"\0")[0] == MARK.encode():
                    return content.partition(b"\0")[2].startswith((RENDERED.encode(), GENERATED.encode()))
    except (OSError, struct.error):
        return False  # opening it as a photo gives the error message
    return False


def marked(png: bytes, text: str) -> bytes:
    """A PNG file with the mark as its first text entry; pixels are unchanged."""
    end = 8 + 4 + 4 + 13 + 4  # signature and header
    content = b"tEXt" + MARK.encode() + b"\0" + text.encode("latin-1")
    return (
        png[:end] + struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content)) + png[end:]
    )


def generated_mark() -> PngInfo:
    """The mark of generated images for Pillow's `save(pnginfo=…)`."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(MARK, GENERATED)
    return info
