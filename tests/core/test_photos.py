"""Every kind of photo: what is stored is what is read, and nothing from outside costs more than a message."""

import io
import logging
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from bolid.core import photos
from bolid.core.photos import generated_mark, is_rendered, marked, open_photo, photo_size
from bolid.core.safe_io import PictureError, open_picture
from tests.core.test_safe_io import png_header


def ramp(size=(48, 32)) -> Image.Image:
    """A picture of smooth colours, different in all corners."""
    across, down = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    return Image.fromarray((np.stack([across, down, 1 - across], -1) * 255).astype(np.uint8))


def error(path, wanted=None) -> float:
    """Mean difference of a photo as read from what was stored."""
    wanted = ramp() if wanted is None else wanted
    return float(np.abs(np.asarray(open_photo(path), float) - np.asarray(wanted.convert("RGB"), float)).mean())


@pytest.mark.parametrize(
    "name",
    ["a.png", "a.jpg", "a.webp", "a.avif", "a.tiff", "a.bmp", "a.jp2", "a.ppm", "a.tga", "a.gif", "a.qoi", "a.heic"],
)
def test_formats(tmp_path, name):
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = tmp_path / name
    ramp().save(path, quality=95) if name != "a.gif" else ramp().save(
        path, save_all=True, append_images=[ramp().rotate(9)]
    )
    assert error(path) < 6
    assert open_picture(path).mode == "RGB"
    assert photo_size(path) == (48, 32)
    assert path.suffix in photos.SUFFIXES
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(PictureError, match=name):
        open_photo(path)


def png_16(values: np.ndarray) -> bytes:
    """A grey PNG of 16 bits, made without Pillow."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


GREY = np.linspace(0, 255, 48 * 32).reshape(32, 48)


@pytest.mark.parametrize("kind", ["png", "tiff", "pgm", "float", "float255", "int32"])
def test_numbers_of_more_than_eight_bits_keep_their_brightness(tmp_path, kind):
    path, fine = tmp_path / "a", (GREY * 257).astype(np.uint16)
    if kind == "png":
        path.write_bytes(png_16(fine))
    elif kind == "pgm":
        path.write_bytes(b"P5 48 32 65535\n" + fine.astype(">u2").tobytes())
    else:
        values = {"tiff": fine, "float": (GREY / 255).astype(np.float32), "float255": GREY.astype(np.float32)}
        values["int32"] = fine.astype(np.int32)
        Image.fromarray(values[kind]).save(path, "TIFF")
    assert error(path, Image.fromarray(GREY.round().astype(np.uint8))) < 1


def test_sixteen_bits_of_a_dark_photo_are_not_stretched(tmp_path):
    (tmp_path / "a.png").write_bytes(png_16(np.full((8, 8), 2570, np.uint16)))
    assert open_photo(tmp_path / "a.png").getpixel((0, 0)) == (10, 10, 10)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_modes(tmp_path, mode):
    grey = mode in ("1", "L", "LA")
    source = ramp().convert("L").convert(mode) if grey else ramp()
    if mode == "LAB":
        source = ImageCms.profileToProfile(
            ramp(), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    elif not grey:
        source = ramp().convert(mode)
    source.save(tmp_path / "a.tif")
    wanted = source.convert("L" if grey else "RGB") if grey or mode == "P" else ramp()
    assert error(tmp_path / "a.tif", wanted) < 5
    if mode == "CMYK":
        source.save(tmp_path / "a.jpg", quality=95)
        assert error(tmp_path / "a.jpg") < 5


def test_transparency_lies_on_white(tmp_path):
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "clear.png", transparency=1)
    palette.save(tmp_path / "clear.gif", transparency=1)
    palette.save(tmp_path / "half.png", transparency=bytes([255, 128]))
    Image.new("RGBA", (4, 4), (0, 0, 255, 128)).save(tmp_path / "half.webp", lossless=True)
    for name, wanted in [("clear.png", 255), ("clear.gif", 255), ("half.png", 127), ("half.webp", 127)]:
        assert open_photo(tmp_path / name).getpixel((1, 1)) == (wanted, wanted, 255), name


def jpeg_with_exif(payload: bytes) -> bytes:
    plain = io.BytesIO()
    ramp().save(plain, "JPEG", quality=95)
    body = b"Exif\0\0" + payload
    return plain.getvalue()[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + plain.getvalue()[2:]


def entries(*fields) -> bytes:
    """EXIF with entries (tag, kind, count, value)."""
    packed = b"".join(struct.pack("<HHIHH", tag, kind, count, value, 0) for tag, kind, count, value in fields)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(fields)) + packed + b"\0\0\0\0"


DAMAGED = {
    "garbage": b"\x01\x02 no exif at all",
    "empty": b"",
    "cut": entries((0x0112, 3, 1, 6))[:11],
    "text": entries((0x0112, 2, 4, 0x4141)),
    "many": entries((0x0112, 3, 60000, 6)),
    "fraction": entries((0x0112, 5, 1, 60000)),
    "offset": b"II*\0\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_exif_costs_the_turn_alone(tmp_path, kind, caplog):
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(DAMAGED[kind]))
    assert error(tmp_path / "a.jpg") < 6
    assert ("unturned" in caplog.text) == (kind != "empty")
    assert photo_size(tmp_path / "a.jpg") == (48, 32)


@pytest.mark.parametrize(
    "raised", [TypeError("a float is required"), struct.error("short"), KeyError(3), RuntimeError()]
)
def test_whatever_reading_exif_raises_is_a_warning(tmp_path, monkeypatch, caplog, raised):
    def fail(self):
        raise raised

    ramp().save(tmp_path / "a.jpg", quality=95)
    monkeypatch.setattr(Image.Image, "getexif", fail)
    with caplog.at_level(logging.WARNING):
        assert error(tmp_path / "a.jpg") < 6
    assert "a.jpg" in caplog.text
    assert "unturned" in caplog.text


def test_the_turn_survives_other_damaged_entries(tmp_path):
    # A copyright of a kind that Pillow cannot write again, which `exif_transpose` ends in.
    (tmp_path / "a.jpg").write_bytes(jpeg_with_exif(entries((0x0112, 3, 1, 6), (0x8298, 5, 1, 0))))
    assert open_photo(tmp_path / "a.jpg").size == photo_size(tmp_path / "a.jpg") == (32, 48)


@pytest.mark.parametrize("value", range(2, 9))
def test_all_eight_turns(tmp_path, value):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = value
    ramp().save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as plain:
        wanted = ImageOps.exif_transpose(plain)
    assert error(tmp_path / "a.png", wanted) == 0


def test_a_large_jpeg_comes_at_half_its_size(tmp_path):
    ramp((640, 400)).save(tmp_path / "a.jpg", quality=95)
    ramp((640, 400)).save(tmp_path / "a.png")
    for name in ("a.jpg", "a.png"):
        small = open_photo(tmp_path / name, reduce_to=100_000)
        assert small.size == (320, 200)
        assert np.abs(np.asarray(small, float) - np.asarray(ramp((320, 200)), float)).mean() < 4
        assert open_photo(tmp_path / name, reduce_to=1000).size == (40, 25)
        assert photo_size(tmp_path / name) == (640, 400)


PEAK = """
import resource, sys
from bolid.core.photos import open_photo
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = open_photo(sys.argv[1]).size
print(*size, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_200_megapixels_are_read_in_bounded_memory(tmp_path):
    path = tmp_path / "phone.jpg"
    Image.new("L", (16_320, 12_240), 99).save(path)
    told = subprocess.run([sys.executable, "-c", PEAK, path], capture_output=True, text=True, check=True).stdout
    width, height, megabytes = map(int, told.split())
    assert (width, height) == (4080, 3060) or width * height <= 50_000_000
    assert megabytes < 400
    with pytest.raises(PictureError, match="200 megapixels"):
        open_photo(_jpeg_claiming(tmp_path / "bomb.jpg", 15_000, 15_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the test itself read nothing of that size


def _jpeg_claiming(path, width: int, height: int):
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    path.write_bytes(data)
    return path


def test_bombs_of_other_formats_are_refused_from_the_header(tmp_path):
    (tmp_path / "a.png").write_bytes(png_header(9_000, 9_000))
    with pytest.raises(PictureError, match="over the limit of 80 megapixels"):
        open_photo(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png_header(2**31 - 1, 2**31 - 1))
    with pytest.raises(PictureError, match="limit"):
        photo_size(tmp_path / "a.png")


def test_nothing_runs_another_program_or_passes_for_a_photo(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "b.jpg").write_bytes(bytes(range(18)) * 9)  # which Pillow's TGA reader would take
    for name in ("a.png", "b.jpg"):
        with pytest.raises(PictureError, match="its content is none of"):
            open_photo(tmp_path / name)


def test_a_missing_reader_of_heic_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "_formats", lambda: ("PNG", "JPEG"))
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 99)
    with pytest.raises(PictureError, match=r"bolid\[photos\]"):
        open_photo(tmp_path / "a.heic")


def test_the_mark_changes_no_pixel_and_is_found(tmp_path):
    ramp().save(tmp_path / "plain.png")
    plain = (tmp_path / "plain.png").read_bytes()
    (tmp_path / "marked.png").write_bytes(marked(plain, "rendered v2"))
    ramp().save(tmp_path / "generated.png", pnginfo=generated_mark())
    assert [is_rendered(tmp_path / f"{n}.png") for n in ("plain", "marked", "generated")] == [False, True, True]
    assert error(tmp_path / "marked.png") == 0
    with Image.open(tmp_path / "marked.png") as picture:
        assert picture.text == {"bolid": "rendered v2"}
    with Image.open(tmp_path / "marked.png") as picture:
        picture.verify()  # checksums
    for name, data in {
        "a.jpg": b"\xff\xd8\xff",
        "cut.png": plain[:20],
        "huge.png": plain[:33] + b"\x7f\xff\xff\xfftEXt",
    }.items():
        (tmp_path / name).write_bytes(data)
        assert not is_rendered(tmp_path / name)
    assert not is_rendered(tmp_path / "missing.png")
