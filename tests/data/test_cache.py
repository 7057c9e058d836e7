import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.core.safe_io import open_picture
from bolid.core.schema import ImageRecord
from bolid.data.cache import GREY, Geometry, ViewCache, crop_box
from bolid.models.crop import crop_to_person
from tests.core.test_safe_io import png_header
from tests.data.fabricate import fabricate


def dot_photo(folder, width: int, height: int, x: int, y: int, box: tuple) -> ImageRecord:
    """A photo of the padding's grey with a bright square of 8 pixels centred on (x, y)."""
    pixels = np.full((height, width, 3), GREY, np.uint8)
    pixels[y - 4 : y + 4, x - 4 : x + 4] = 255
    Image.fromarray(pixels).save(folder / "dot.png")
    return ImageRecord("dot.png", "a", [], np.zeros((17, 3), np.float32), np.array(box, np.float32))


@pytest.mark.parametrize("view", ["frame", "person"])
@pytest.mark.parametrize(("width", "height"), [(352, 528), (600, 300), (300, 900), (64, 96)])
def test_geometry_says_where_pixels_went(tmp_path, view, width, height):
    x, y = width // 2 + 6, height // 2 - 6
    record = dot_photo(tmp_path, width, height, x, y, (width * 0.3, height * 0.2, width * 0.9, height * 0.8))
    cache = ViewCache([record], tmp_path, view, (96, 64))
    g = Geometry(*cache.geometry[0])
    assert (g.photo_width, g.photo_height) == (width, height)
    weight = cache.pictures[0, ..., 0].astype(float) - GREY
    rows, columns = np.mgrid[:96, :64] + 0.5
    centre = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(centre, [g.scale_x * x + g.offset_x, g.scale_y * y + g.offset_y], atol=0.35)


def test_a_frame_covers_and_is_centred(tmp_path):
    record = dot_photo(tmp_path, 600, 300, 300, 150, (0, 0, 600, 300))
    g = Geometry(*ViewCache([record], tmp_path, "frame", (96, 64)).geometry[0])
    assert g.scale_y == pytest.approx(96 / 300)
    assert g.scale_x == pytest.approx(96 / 300, rel=0.01)
    assert g.offset_x == pytest.approx(-(600 * 96 / 300 - 64) / 2, abs=0.3)
    assert g.offset_y == 0


@pytest.mark.parametrize("box", [(5, 8, 40, 90), (0, 0, 64, 96), (30, 30, 62, 50), (0, 0, 0, 0)])
def test_references_look_as_metrics_crop_them(tmp_path, box):
    (record, *_) = fabricate(tmp_path, {"train": 1})
    record = replace(record, box=np.array(box, np.float32))
    cache = ViewCache([record], tmp_path, "person", (96, 64))
    pixels = np.array(Image.open(tmp_path / record.file_name))
    picture = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    points = torch.from_numpy(record.keypoints)[None]
    expected, moved = crop_to_person(picture, points, torch.tensor([box], dtype=torch.float32), (96, 64))
    found = torch.from_numpy(cache.pictures[0].copy()).permute(2, 0, 1) / 127.5 - 1
    assert (found - expected[0]).abs().mean() < 0.01
    g = Geometry(*cache.geometry[0])
    ours = record.keypoints[:, :2] * (g.scale_x, g.scale_y) + (g.offset_x, g.offset_y)
    np.testing.assert_allclose(ours, moved[0, :, :2], atol=1e-3)


def test_silhouettes_follow_their_photos(tmp_path):
    records = fabricate(tmp_path, {"train": 1}, silhouettes=True)
    for view in ("frame", "person"):
        cache = ViewCache(records, tmp_path, view, (48, 32))
        inside = cache.silhouettes > 200
        painted = (np.abs(cache.pictures.astype(int) - 40).max(-1) > 30) & (cache.pictures[..., 2] != 128)
        assert (inside == painted).mean() > 0.9  # edges blend with the padding
        assert 0.1 < inside.mean() < 0.95


def spoil(folder, records) -> dict[str, str]:
    """Breaks all photos but the first, each in another way; gives the file names of the broken."""
    truncated, bomb, missing, text, link = (folder / r.file_name for r in records[1:6])
    truncated.write_bytes(truncated.read_bytes()[:80])
    bomb.write_bytes(png_header(60_000, 60_000))
    missing.unlink()
    text.write_text("not a photo")
    link.unlink()
    link.symlink_to("/etc/hostname")
    return {r.file_name for r in records[1:6]}


def test_unusable_photos_are_skipped_and_named(tmp_path):
    records = fabricate(tmp_path, {"train": 2})
    broken = spoil(tmp_path, records)
    cache = ViewCache(records, tmp_path, "frame", (24, 16))
    assert cache.good.tolist() == [True] + [False] * 5
    assert len(cache.skipped) == 5
    for name in broken:
        assert any(name.split("/")[-1] in message for message in cache.skipped), name


def test_a_silhouette_of_another_size_is_refused(tmp_path):
    records = fabricate(tmp_path, {"train": 1}, silhouettes=True)
    Image.new("L", (5, 5)).save(tmp_path / records[0].silhouette)
    cache = ViewCache(records, tmp_path, "frame", (24, 16))
    assert cache.good.tolist() == [False, True, True]
    assert "silhouette" in cache.skipped[0]


def test_copies_are_made_once_and_resumed(tmp_path, monkeypatch):
    records = fabricate(tmp_path, {"train": 2})
    whole = ViewCache(records, tmp_path, "frame", (24, 16))
    status = np.load(whole.path / "good.npy", mmap_mode="r+")
    status[2] = False  # as a kill would have left it
    status.flush()
    opened = []
    monkeypatch.setattr("bolid.data.cache.open_picture", lambda p: opened.append(p.name) or open_picture(p))
    again = ViewCache(records, tmp_path, "frame", (24, 16))
    assert opened == ["p000000_2.png"]
    assert again.good.all()


def test_a_changed_photo_gets_new_copies_and_the_old_go_in_time(tmp_path):
    records = [replace(r, sha256="") for r in fabricate(tmp_path, {"train": 1})]
    first = ViewCache(records, tmp_path, "frame", (24, 16))
    other_name = ViewCache(records, tmp_path, "frame", (24, 16), name="val")
    Image.new("RGB", (64, 96), "white").save(tmp_path / records[0].file_name)
    os.utime(tmp_path / records[0].file_name, ns=(1, 1))
    second = ViewCache(records, tmp_path, "frame", (24, 16))
    assert second.path != first.path
    assert first.path.exists()  # a run may still be using it
    os.utime(first.path, (0, 0))
    ViewCache(records, tmp_path, "frame", (24, 16))
    assert not first.path.exists()
    assert second.path.exists()
    assert other_name.path.exists()
    assert (second.pictures[0] == 255).all()


def test_workers_get_maps_and_no_copies(tmp_path):
    records = fabricate(tmp_path, {"train": 1})
    cache = ViewCache(records, tmp_path, "frame", (24, 16))
    assert cache.pictures.shape == (3, 24, 16, 3)
    data = pickle.dumps(cache)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).pictures, cache.pictures)


def test_photos_that_changed_since_they_were_annotated_are_named(tmp_path):
    records = fabricate(tmp_path, {"train": 1}, photos=3)
    assert not ViewCache(records, tmp_path, "frame", (24, 16)).skipped
    with Image.open(tmp_path / records[1].file_name) as picture:
        picture.resize((32, 48)).save(tmp_path / records[1].file_name)
    (skipped,) = ViewCache(records, tmp_path, "frame", (24, 16)).skipped
    assert records[1].file_name in skipped
    assert "changed since it was annotated" in skipped
    unknown = [replace(r, sha256="") for r in records]
    assert not ViewCache(unknown, tmp_path, "person", (24, 16)).skipped


@pytest.mark.parametrize(
    ("photo", "box", "crop"),
    [
        ((400, 300), [190, 20, 210, 290], [100, 0, 300, 300]),  # in the middle already
        ((400, 300), [10, 20, 60, 290], [10, 0, 210, 300]),  # at the left side
        ((400, 300), [350, 20, 420, 290], [200, 0, 400, 300]),  # beyond the right side
        ((400, 300), [60, 20, 340, 290], [100, 0, 300, 300]),  # wider than a frame: her middle
        ((400, 300), [20, 20, 260, 290], [40, 0, 240, 300]),
        ((200, 900), [20, 700, 150, 880], [0, 580, 200, 880]),  # at the foot of a tall one
        ((200, 900), [0, 0, 0, 0], [0, 300, 200, 600]),  # nobody
    ],
)
def test_a_frame_holds_the_person_and_is_else_as_central_as_can_be(photo, box, crop):
    record = ImageRecord("a.png", "a", [], np.zeros((17, 3), np.float32), np.array(box, np.float32))
    assert crop_box(record, "frame", photo, (300, 200)) == crop
