"""Files as people have them: each is read or counted by name, and none ends the run."""

import itertools
import json
import os
import resource
import socket
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from bolid.data.annotate.annotate import annotate_photos
from bolid.data.annotate.store import FOLDER
from bolid.data.manifest import read_manifest
from tests.core.test_safe_io import png_header
from tests.data.annotate.fakes import load, photo

RED = (255, 0, 0)
BOX = [20, 10, 50, 90]
SHADES = itertools.cycle(range(0, 130, 2))  # of the background, so that no two photos are alike


def person(mode="RGB", shade=0):
    picture = Image.new("RGB", (64, 96), (shade, shade, shade))
    picture.paste(RED, tuple(BOX))
    return picture.convert(mode)


def save(path, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    person(mode, next(SHADES)).save(path, **options)


def good(folder):
    """Files that are photos, whatever their kind."""
    for suffix in (
        "avif",
        "tiff",
        "tif",
        "bmp",
        "dib",
        "gif",
        "webp",
        "jp2",
        "ppm",
        "tga",
        "qoi",
        "png",
        "jpg",
        "jfif",
    ):
        save(folder / f"plain.{suffix}", format={"jfif": "JPEG", "dib": "DIB"}.get(suffix))
    save(folder / "cmyk.jpg", "CMYK")
    save(folder / "cmyk.tiff", "CMYK")
    save(folder / "palette.png", "P")
    save(folder / "alpha.png", "RGBA")
    save(folder / "progressive.jpg", progressive=True)
    save(folder / "compressed.tiff", compression="tiff_deflate")
    frames = [person(shade=7), Image.new("RGB", (64, 96))]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:])
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(folder / "pages.tiff", save_all=True, append_images=frames[1:])
    save(folder / "really a png.jpg", format="PNG")
    save(folder / "no suffix", format="PNG")
    save(folder / "UPPER.JPG", format="JPEG")
    save(folder / "ünïcödé 写真 🙂.png")
    save(folder / "sp ace'quote\".png")
    save(folder / "-rf.png")
    save(folder / "%s{0}$HOME.png")
    save(folder / f"{'n' * 200}.png")
    for name, exif in EXIF.items():
        save(folder / f"exif {name}.jpg", exif=exif)
    png = PngImagePlugin.PngInfo()
    png.add_text("Raw profile type exif", "\nexif\n   9\nzz")
    save(folder / "exif of a png.png", pnginfo=png)


EXIF = {
    "cut": b"Exif\0\0II*\0\x08\0\0\0\x05\0",
    "loop": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0",
    "noise": b"Exif\0\0" + bytes(range(200)),
    "wrong turn": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0aa\0\0\0\0\0\0",
    "turn 99": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\0\0\0\0",
}


def bad(folder):
    """Files that are none: name -> kind."""
    whole = (folder / "plain.png").read_bytes()
    files = {
        "zero.png": b"", "zero.jpg": b"", "one.jpg": b"\xff", "text.png": b"not a photo", "html.jpg": b"<html>404",
        "cut.png": whole[: len(whole) // 2], "cut.jpg": (folder / "plain.jpg").read_bytes()[:300],
        "cut.tiff": (folder / "plain.tiff").read_bytes()[:100], "cut.gif": (folder / "plain.gif").read_bytes()[:40],
        "cut.avif": (folder / "plain.avif").read_bytes()[:200], "cut.webp": (folder / "plain.webp").read_bytes()[:60],
        "flipped.png": whole[:60] + bytes([whole[60] ^ 255]) + whole[61:], "bomb.png": png_header(60_000, 60_000),
        "bomb.bmp": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 65000, 65000, 1, 24, 0, 0, 0, 0, 0, 0),
        "bomb.gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\2",
        "text.tga": b"what has no signature", "zeros.tiff": b"II*\0" + bytes(500),
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    kinds = dict.fromkeys(files, "unreadable")
    for name in ("raw.CR2", "raw.nef", "drawing.svg", "drawing.eps", "layers.psd", "new.jxl"):
        (folder / name).write_bytes(b"%!PS or another format")
        kinds[name] = "unreadable format"
    for name in ("notes.md", "film.mp4", "archive.zip", "Thumbs.db"):
        (folder / name).write_bytes(b"\0\0\0\x18 no photo")
        kinds[name] = "other file"
    (folder / "tab\tbell\a.png").write_bytes(whole)
    (folder / "escape\x1b[31m.png").write_bytes(whole)
    (folder / os.fsdecode(b"latin\xe9.png")).write_bytes(whole)
    kinds |= dict.fromkeys(("tab\tbell\a.png", "escape\x1b[31m.png", "latin\udce9.png"), "unusable name")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "ping.png").symlink_to("pong.png")
    (folder / "pong.png").symlink_to("ping.png")
    (folder / "gone.png").symlink_to("nothing.png")
    (folder / "outside.png").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.png")
    for name in ("itself.png", "ping.png", "pong.png", "gone.png", "pipe.png"):
        kinds[name] = "unreadable"
    kinds["outside.png"] = "link outside"
    return kinds


def captions(folder):
    """Captions that are hard to read: name -> what is kept of it, None for a photo that is left out."""
    contents = {
        "utf-16": "été".encode("utf-16"), "utf-32": "été".encode("utf-32"), "bom": b"\xef\xbb\xbf\xc3\xa9t\xc3\xa9",
        "latin": b"\xe9t\xe9", "utf-16-be": "été".encode("utf-16-be"),
    }  # fmt: skip
    wanted = {}
    for name, content in contents.items():
        save(folder / f"caption {name}.png")
        (folder / f"caption {name}.txt").write_bytes(content)
        wanted[f"caption {name}.png"] = "été"
    save(folder / "caption huge.png")
    (folder / "caption huge.txt").write_bytes(b"word " * 2_000_000)
    save(folder / "caption controls.png")
    (folder / "caption controls.txt").write_bytes(b"a\0 wo\x1b[31mman\n")
    wanted["caption controls.png"] = "a wo [31mman"
    return wanted


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    good(folder / "ann")
    return folder


def test_every_odd_file_is_read_or_counted_by_name(album):
    kept = {p.name for p in (album / "ann").iterdir()}
    kinds = bad(album / "ann")
    wanted = captions(album / "ann")
    (album / "ann" / "metadata.jsonl").write_bytes(b"\xff\xfe\0\0 no json\n" + b"[" * 100_000 + b"\n")
    (album / "ann" / "metadata.csv").write_bytes(b'file_name,text\n"unclosed')
    (album / "loop").symlink_to(album)
    (album / "empty").mkdir()
    server = socket.socket(socket.AF_UNIX)
    os.chdir(album / "ann")  # a socket's path is short
    server.bind("socket.png")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    summary = annotate_photos(album, load)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server.close()
    records = {r.file_name.removeprefix("ann/"): r for r in read_manifest(album)}
    assert records.keys() == kept | wanted.keys() | {"caption huge.png"}
    for name, record in records.items():
        np.testing.assert_allclose(record.box, BOX, atol=3, err_msg=name)  # JPEG's blocks
    assert {name: records[name].caption for name in wanted} == wanted
    rows = [json.loads(line) for line in (album / FOLDER / "left_out.jsonl").read_text().splitlines()]
    found = {r["file_name"].removeprefix("ann/"): r["kind"] for r in rows if not r["file_name"].startswith("loop")}
    assert found.pop("socket.png") == "unreadable"
    assert found == kinds
    assert summary.photos == len(records)
    assert after - before < 400_000  # KiB
    str(summary).encode()  # can be printed, whatever the names


def test_a_broken_photo_of_any_cut_ends_nothing(album, tmp_path):
    """Every format cut at many places, and with bytes overturned."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "broken" / "ann"
    photo(folder / "good.png")
    for path in sorted((album / "ann").glob("plain.*")):
        content = path.read_bytes()
        for number in range(12):
            cut = bytearray(content[: rng.integers(1, len(content))] if number % 2 else content)
            for place in rng.integers(0, len(cut), 3):
                cut[place] ^= int(rng.integers(1, 256))
            (folder / f"{number}{path.suffix}").write_bytes(bytes(cut))
    summary = annotate_photos(tmp_path / "broken", load)
    assert summary.photos + summary.left_out.total() == len(list(folder.iterdir()))


def test_greys_of_16_bits_keep_their_shades(tmp_path):
    values = np.zeros((96, 64), np.uint16)
    values[:, 32:] = 32768
    for suffix in ("png", "tiff"):
        path = tmp_path / "album" / "ann" / f"grey.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    from bolid.core.safe_io import open_picture

    for path in (tmp_path / "album" / "ann").iterdir():
        shades = np.unique(np.asarray(open_picture(path)))
        assert shades.tolist() == [0, 128]


def test_a_huge_photo_is_read_at_half_its_size_and_a_larger_one_counted(tmp_path):
    folder = tmp_path / "album" / "ann"
    photo(folder / "small.png")
    picture = Image.new("RGB", (9000, 6000), (0, 0, 9))
    picture.paste(RED, (3000, 600, 5000, 5400))
    picture.save(folder / "54 megapixels.jpg", quality=50)
    (folder / "108 megapixels.png").write_bytes(png_header(12_000, 9_000))
    summary = annotate_photos(tmp_path / "album", load)
    records = {r.file_name: r for r in read_manifest(tmp_path / "album")}
    np.testing.assert_allclose(records["ann/54 megapixels.jpg"].box, [1500, 300, 2500, 2700], atol=10)
    assert "over the limit of 80 megapixels" in str(summary)
