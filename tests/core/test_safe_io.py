import hashlib
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from bolid.core.errors import BolidError
from bolid.core.safe_io import (
    PictureError,
    atomic_folder,
    atomic_path,
    check_relative,
    load_safetensors,
    open_picture,
    resolve_inside,
    sha256,
    write_text,
)


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def interrupted_write(path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError):
        interrupted_write(path)
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["a.txt"]
    write_text(path, "new")
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["a.txt"]


def write_folder(folder, name, fails=False):
    with atomic_folder(folder) as part:
        (part / name).write_text("x")
        assert not (folder / name).exists()
        if fails:
            raise RuntimeError


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "new" / "a"
    with pytest.raises(RuntimeError):
        write_folder(folder, "one", fails=True)
    assert not os.listdir(folder.parent)
    write_folder(folder, "one")
    with pytest.raises(RuntimeError):
        write_folder(folder, "two", fails=True)
    assert os.listdir(folder) == ["one"]
    write_folder(folder, "two")
    assert os.listdir(folder) == ["two"]
    assert os.listdir(folder.parent) == ["a"]


def test_the_temporary_name_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a.png") as temporary:
        Image.new("RGB", (2, 2)).save(temporary)
    assert open_picture(tmp_path / "a.png").size == (2, 2)


@pytest.mark.parametrize(
    "name",
    ["../a.png", "a/../../b.png", "/etc/passwd", "", ".", "C:/a.png", "a\\..\\b.png", "a\0.png", "file:///a.png"],
)
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(BolidError, match="leads outside"):
        check_relative(name, "here")
    with pytest.raises(BolidError, match="leads outside"):
        resolve_inside(tmp_path, name)


def test_names_inside_are_taken(tmp_path):
    assert resolve_inside(tmp_path, "a/b 12:30.png") == tmp_path / "a/b 12:30.png"


def test_links_are_followed_inside_and_refused_outside(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "inside.txt").write_text("x")
    (tmp_path / "secret.txt").write_text("x")
    (folder / "good").symlink_to("inside.txt")
    (folder / "bad").symlink_to("../secret.txt")
    (folder / "up").symlink_to("..")
    assert resolve_inside(folder, "good").read_text() == "x"
    for name in ("bad", "up/secret.txt"):
        with pytest.raises(BolidError, match="link"):
            resolve_inside(folder, name)
    # The folder itself may well be a link, and a neighbour whose name begins alike is still outside.
    (tmp_path / "alias").symlink_to("folder")
    assert resolve_inside(tmp_path / "alias", "inside.txt").exists()
    (tmp_path / "folder2").mkdir()
    (folder / "neighbour").symlink_to("../folder2")
    with pytest.raises(BolidError):
        resolve_inside(folder, "neighbour")


@pytest.mark.parametrize("keep", [0, 5, 30, 60, 400])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_truncated_photos_are_named(tmp_path, keep, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(PictureError, match=f"a.{suffix}"):
        open_picture(path)


@pytest.mark.parametrize("side", [7_100, 20_000, 2**31 - 1])
def test_a_bomb_is_refused_from_its_header(tmp_path, side):
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(PictureError, match="bomb"):
        open_picture(path)


def test_the_limit_is_in_pixels(tmp_path):
    Image.new("RGB", (10, 10)).save(tmp_path / "a.png")
    assert open_picture(tmp_path / "a.png", max_pixels=100).size == (10, 10)
    with pytest.raises(PictureError, match="limit"):
        open_picture(tmp_path / "a.png", max_pixels=99)


def test_what_is_no_photo_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    os.mkfifo(tmp_path / "pipe.png")  # opening it would wait for a writer
    for name in ("text.png", "pipe.png", "missing.png", "."):
        with pytest.raises(PictureError):
            open_picture(tmp_path / name)


def test_photos_come_upright_and_opaque(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (20, 30)
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.new("L", (2, 2), 7).save(tmp_path / "grey.png")
    assert open_picture(tmp_path / "grey.png").getpixel((0, 0)) == (7, 7, 7)


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_safetensors(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert load_safetensors(tmp_path / "a.safetensors")["a"].tolist() == [1, 1]
    torch.save({"a": torch.ones(2)}, tmp_path / "pickle.safetensors")
    for name in ("missing", "pickle"):
        with pytest.raises(BolidError, match=f"{name}.safetensors"):
            load_safetensors(tmp_path / f"{name}.safetensors")
