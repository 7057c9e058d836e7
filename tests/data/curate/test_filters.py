"""Each filter without a network: what it catches, what it says, and what it keeps."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from bolid.data.curate.config import Filters
from bolid.data.curate.filters import KEPT, Caption, Copies, Decodable, Exposure, Sharp, Size
from bolid.data.curate.filters.caption import decoded
from bolid.data.curate.pixels import PixelMeasure, brightness, sharpness
from bolid.data.curate.run import curate_photos
from bolid.data.curate.verdicts import read_verdicts
from tests.data.curate.photos import jpeg, people, picture, write

NONE = dict.fromkeys(
    ["decodable", "size", "copies", "exposure", "blurry", "people", "identity", "watermark", "body", "caption"]
)


def verdicts(folder, **filters):
    """File name -> what the only filters say, in a folder of few photos."""
    curate_photos(folder, Filters(**(NONE | filters)), min_photos=1)
    return {name: said[1] for name, said in read_verdicts(folder).items()}


def exif(entry):
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry


@pytest.mark.parametrize(
    "data",
    [
        lambda: jpeg(picture(9))[:900],
        lambda: b"",
        lambda: b"<html>404</html>",
        lambda: jpeg(picture(9), exif=exif(b"\x12\x01\x02\0\x06\0\0\0\x1a\0\0\0" + b"\0\0\0\0broken")),
        lambda: jpeg(picture(9), exif=exif(b"\x12\x01\x03\0\x01\0\0\0\x63\0\0\0" + b"\0\0\0\0")),
        lambda: jpeg(picture(9), exif=exif(b"\x12\x01\x03\0")),
    ],
    ids=["truncated", "empty", "a page", "text for a turn", "turn 99", "EXIF cut off"],
)
def test_what_is_no_whole_photo_is_rejected(tmp_path, data):
    write(tmp_path, "a/bad.jpg", data())
    write(tmp_path, "a/good.jpg", picture(1))
    write(tmp_path, "a/turned.jpg", jpeg(picture(2), exif=exif(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0")))
    found = verdicts(tmp_path, decodable=Decodable())
    assert found["a/good.jpg"] == found["a/turned.jpg"] == {"decodable": KEPT}
    assert found["a/bad.jpg"]["decodable"].startswith(("not decodable: ", "damaged EXIF: "))


def test_sizes_are_those_of_the_upright_photo(tmp_path):
    turned = exif(b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0")
    found = PixelMeasure().read(write(tmp_path, "a/0.jpg", jpeg(picture(0, (2400, 1600)), exif=turned)))
    assert (found["width"], found["height"]) == (1600, 2400)


def test_small_and_long_photos_are_rejected_with_their_size(tmp_path):
    for name, size in {"good": (160, 120), "small": (160, 99), "long": (400, 120)}.items():
        write(tmp_path, f"a/{name}.jpg", picture(3, size))
    found = verdicts(tmp_path, size=Size(shortest=100))
    assert found["a/good.jpg"]["size"] == KEPT
    assert found["a/small.jpg"]["size"] == "small: 99 < 100 pixels"
    assert found["a/long.jpg"]["size"] == "long: 3.33 > 3"


def test_dark_and_light_are_percentiles_of_perceived_brightness(tmp_path):
    rgb = np.asarray(picture(5))
    red, green, blue = rgb.reshape(-1, 3).T.astype(float)
    perceived = np.sqrt(0.241 * red**2 + 0.691 * green**2 + 0.068 * blue**2) / 255
    assert brightness(rgb) == pytest.approx(np.percentile(perceived, [99, 5]), abs=1e-5)
    for name, shown in {"dark": rgb // 8, "light": 255 - rgb // 40, "good": rgb}.items():
        write(tmp_path, f"a/{name}.jpg", Image.fromarray(shown.astype(np.uint8)))
    found = verdicts(tmp_path, exposure=Exposure())
    assert [found[f"a/{n}.jpg"]["exposure"].split(":")[0] for n in ("dark", "light", "good")] == ["dark", "light", KEPT]


def test_blur_is_found_whatever_the_contrast_and_a_soft_background_is_not(tmp_path):
    sharp = picture(6, (800, 600))
    pale = Image.fromarray((np.asarray(sharp) // 4 + 100).astype(np.uint8))
    soft = sharp.filter(ImageFilter.GaussianBlur(6))
    ImageDraw.Draw(soft).ellipse((250, 150, 550, 450), "white", "black", 40)
    blurred = {f"blurred{r}": sharp.filter(ImageFilter.GaussianBlur(r)) for r in (3, 8)}
    rows = np.asarray(sharp).astype(np.float32)
    moved = np.mean([np.roll(rows, k, 1) for k in range(17)], axis=0)  # edges along the way stay sharp
    blurred["moved"] = Image.fromarray(moved.astype(np.uint8))
    for name, shown in ({"sharp": sharp, "pale": pale, "soft": soft} | blurred).items():
        write(tmp_path, f"a/{name}.jpg", shown)
    found = verdicts(tmp_path, blurry=Sharp())
    assert [found[f"a/{n}.jpg"]["blurry"] for n in ("sharp", "pale", "soft")] == [KEPT] * 3
    assert all(found[f"a/{n}.jpg"]["blurry"].startswith("blurry: ") for n in blurred)
    assert sharpness(np.full((50, 60), 7, np.uint8)) == 1


def test_of_copies_one_is_kept_in_training_and_with_most_pixels(tmp_path):
    first, second = picture(7, (640, 480)), picture(8, (640, 480))
    write(tmp_path, "train/a/small.jpg", first.resize((320, 240)))
    write(tmp_path, "train/a/large.jpg", first)
    write(tmp_path, "train/b/other_person.jpg", jpeg(first, 70))
    write(tmp_path, "test/c/other_split.jpg", jpeg(ImageOps.mirror(first), 80))
    write(tmp_path, "test/c/own.jpg", second)
    write(tmp_path, "test/c/same.jpg", second)
    found = {name: said["copies"] for name, said in verdicts(tmp_path, copies=Copies()).items()}
    kept = {name for name, said in found.items() if said == KEPT}
    assert kept == {"train/a/large.jpg", "test/c/own.jpg"}
    assert found["test/c/same.jpg"] == "copy: the same file as test/c/own.jpg"
    assert found["train/a/small.jpg"].endswith("<= 52 bits from train/a/large.jpg")
    assert found["train/b/other_person.jpg"].endswith("<= 32 bits from train/a/large.jpg")


def test_where_the_kept_copy_does_not_serve_another_is_kept(tmp_path):
    first, second = picture(7, (640, 480)), picture(8, (640, 480))
    write(tmp_path, "a/enlarged.jpg", first.resize((64, 48)).resize((1280, 960)))
    write(tmp_path, "a/first.jpg", first)
    write(tmp_path, "a/second.jpg", second)
    write(tmp_path, "a/small.jpg", first.resize((320, 240)))
    found = verdicts(tmp_path, copies=Copies(within=80), blurry=Sharp())
    assert found["a/first.jpg"] == {"copies": KEPT, "blurry": KEPT}
    assert found["a/enlarged.jpg"]["copies"].endswith("from a/first.jpg")
    assert found["a/small.jpg"]["copies"].endswith("from a/first.jpg")
    assert found["a/second.jpg"]["copies"] == KEPT


def test_a_rejected_photo_is_no_original(tmp_path):
    write(tmp_path, "a/0.jpg", picture(1, (640, 300)))
    write(tmp_path, "a/1.jpg", picture(1, (640, 300)).resize((640, 420)))
    found = verdicts(tmp_path, size=Size(shortest=400), copies=Copies(within=256))
    assert found["a/1.jpg"] == {"size": KEPT, "copies": KEPT}


def test_photos_that_differ_are_no_copies(tmp_path):
    people(tmp_path, 4, 8)
    assert {said["copies"] for said in verdicts(tmp_path, copies=Copies()).values()} == {KEPT}


def test_copies_among_many_people_are_found_without_comparing_all(tmp_path):
    from bolid.data.curate.filters.copies import alike, differing

    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (3000, 4)).astype(np.uint64)
    flips = rng.integers(0, 64, (100, 3))
    hashes[100:200] = hashes[:100]
    for k, bits in enumerate(flips):
        hashes[100 + k, k % 4] ^= np.bitwise_xor.reduce(np.uint64(1) << bits.astype(np.uint64))
    near = set()
    for one, other in alike(hashes, rng.integers(0, 2**63, (3000, 4)).astype(np.uint64), np.arange(3000)):
        bits = differing(hashes[one], hashes[other])
        near |= set(zip(one[bits < 10].tolist(), other[bits < 10].tolist(), strict=True))
    assert near == {(k, 100 + k) for k in range(100)}


def test_captions(tmp_path):
    for name in ("ok", "named", "short", "none"):
        write(tmp_path, f"jane_doe/{name}.jpg", picture(len(name)))
    (tmp_path / "jane_doe/ok.txt").write_text("a woman in a red coat in the street")
    (tmp_path / "jane_doe/named.caption").write_text("Jane Doe in a red coat in the street", encoding="utf-16")
    (tmp_path / "jane_doe/short.txt").write_text("\ufeffa woman")
    found = {n: said["caption"] for n, said in verdicts(tmp_path, caption=Caption(words=4, required=True)).items()}
    assert found["jane_doe/ok.jpg"] == KEPT
    assert found["jane_doe/named.jpg"] == "caption names jane_doe"
    assert found["jane_doe/short.jpg"] == "short caption: 2 < 4 words"
    assert found["jane_doe/none.jpg"] == "no caption"
    assert decoded(b"\xef\xbb\xbfhello") == "hello"
