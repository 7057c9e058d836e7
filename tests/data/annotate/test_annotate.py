"""A folder of photos becomes a data set: every file is kept or counted, and no work is lost or done twice."""

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.photos import marked
from bolid.core.schema import ANYBODY
from bolid.data.annotate.annotate import annotate_folder, annotate_photos
from bolid.data.annotate.networks import Networks
from bolid.data.annotate.store import FILE, FOLDER
from bolid.data.curate.config import Filters
from bolid.data.curate.filters import Size
from bolid.data.curate.run import curate_photos
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import read_manifest, write_manifest
from bolid.data.specs import ReferenceSpec, SplitSpec
from tests.core.test_safe_io import png_header
from tests.data import invariants
from tests.data.annotate.fakes import Finder, Outliner, Recogniser, load, photo
from tests.data.fabricate import fabricate


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    for name in ("ann/1.png", "ann/2.jpg", "ann/3.WEBP", "bob/x.png", "bob/y.jpeg"):
        photo(folder / name)
    (folder / "ann" / "1.txt").write_text("  a woman\nin red ")
    (folder / "ann" / "notes.md").write_text("not a photo")
    return folder


def annotate(folder, finder=None, faces=True, outliner=None, **options):
    networks = Networks(finder or Finder(), Recogniser() if faces else None, outliner)
    return annotate_photos(folder, lambda device: networks, **options)


def test_a_folder_of_photos_becomes_a_data_set(album):
    summary = annotate(album)
    assert str(summary).startswith("5 photos of 2 people kept, of 6 files; 1 left out")
    assert "other file: 1 (ann/notes.md)" in str(summary)
    assert "5 with a face, 0 without" in str(summary)
    assert "1 with a caption, 4 without" in str(summary)
    records = {r.file_name: r for r in read_manifest(album)}
    assert sorted(records) == ["ann/1.png", "ann/2.jpg", "ann/3.WEBP", "bob/x.png", "bob/y.jpeg"]
    assert {r.identity for r in records.values()} == {"ann", "bob"}
    assert records["ann/1.png"].caption == "a woman in red"
    assert records["ann/2.jpg"].caption == ANYBODY
    np.testing.assert_array_equal(records["ann/1.png"].box, [20, 10, 50, 90])
    np.testing.assert_allclose(records["ann/1.png"].keypoints, [[35, 50, 0.9]] * 17)
    assert (records["ann/1.png"].renderer, records["ann/1.png"].whole_figure) == (0, True)
    assert len(records["ann/1.png"].sha256) == 64


def test_it_can_be_trained_on(album):
    annotate(album, faces=False)
    (album / "train").mkdir()
    for person in ("ann", "bob"):
        (album / person).rename(album / "train" / person)
    summary = annotate(album, faces=False)  # folders of splits are understood, and the old manifest goes
    assert {r.file_name.split("/")[0] for r in read_manifest(album)} == {"train"}
    assert summary.kept == {"ann": 3, "bob": 2}
    data = IdentityDataModule(album, batch_size=2, size=(24, 16), references=ReferenceSpec((24, 16)))
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    invariants.check_ranges(batch)
    assert not batch.references.face_mask.any()
    assert not batch.silhouette_known.any()


def test_everything_that_is_not_kept_is_counted_and_named(album, tmp_path):
    photo(tmp_path / "secret.png")
    (tmp_path / "elsewhere").mkdir()
    photo(tmp_path / "elsewhere" / "z.png")
    (album / "bob" / "link.png").symlink_to(tmp_path / "secret.png")
    (album / "eve").symlink_to(tmp_path / "elsewhere")
    (album / "ann" / "cut.png").write_bytes((album / "ann" / "1.png").read_bytes()[:70])
    (album / "ann" / "bomb.png").write_bytes(png_header(100_000, 100_000))
    (album / "ann" / "gone.png").symlink_to("nothing.png")
    (album / "ann" / "bad\nname.png").write_bytes((album / "ann" / "1.png").read_bytes())
    (album / "ann" / "raw.CR2").write_bytes(b"II*\0 raw")
    (album / "ann" / "empty.jpg").write_bytes(b"")
    photo(album / "ann" / "nobody.png", colour=(0, 0, 255))
    photo(album / "ann" / "captioned.png")
    (album / "ann" / "captioned.txt").symlink_to("/etc/hostname")
    photo(album / "beside.jpg")
    photo(album / "ann" / "more" / "below.jpg")
    photo(album / "ann" / "tiny.png", (8, 12), (0, 0, 8, 12))
    photo(album / "ann" / "speck.png", (200, 200), (90, 90, 100, 100))
    photo(album / "bob" / "two.png", (100, 96), (10, 10, 30, 90))
    with Image.open(album / "bob" / "two.png") as picture:
        picture.paste((255, 0, 0), (60, 10, 80, 90))
        picture.save(album / "bob" / "two.png")
    summary = annotate(album)
    assert summary.photos == 5
    kinds = {
        "link outside": {"bob/link.png", "eve/z.png"},
        "unreadable": {"ann/cut.png", "ann/bomb.png", "ann/gone.png", "ann/empty.jpg"},
        "unusable name": {"ann/bad\nname.png"},
        "unreadable format": {"ann/raw.CR2"},
        "other file": {"ann/notes.md"},
        "nobody": {"ann/nobody.png"},
        "unreadable caption": {"ann/captioned.png"},
        "beside the people's folders": {"beside.jpg"},
        "below a person's folder": {"ann/more/below.jpg"},
        "too small": {"ann/tiny.png", "ann/speck.png"},
        "several people": {"bob/two.png"},
    }
    assert summary.left_out == {kind: len(names) for kind, names in kinds.items()}
    rows = [json.loads(line) for line in (album / FOLDER / "left_out.jsonl").read_text().splitlines()]
    assert {kind: {r["file_name"] for r in rows if r["kind"] == kind} for kind in kinds} == kinds
    told = str(summary)
    assert "of 21 files; 16 left out" in told
    assert all(f"left out, {kind}: {len(names)} (" in told for kind, names in kinds.items())


@pytest.mark.parametrize("suffix", ["avif", "tiff", "bmp", "gif", "heic", "AVIF", ""])
def test_photos_of_all_formats_are_annotated_and_trained_on(album, suffix):
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = album / "ann" / (f"new.{suffix}" if suffix else "new")
    photo(album / "source.png", shade=77)
    with Image.open(album / "source.png") as picture:
        picture.save(path, {"": "JPEG", "heic": "HEIF"}.get(suffix, suffix.upper()))
    (album / "source.png").unlink()
    annotate(album)
    records = {r.file_name: r for r in read_manifest(album)}
    np.testing.assert_allclose(records[f"ann/{path.name}"].box, [20, 10, 50, 90], atol=2)
    data = IdentityDataModule(album, batch_size=1, size=(24, 16))
    assert len(data._dataset("train", True).records) == len(data.splits["train"]) == 6


def test_a_damaged_exif_ends_nothing(album, monkeypatch, caplog):
    def fail(self):
        raise TypeError("a float is required")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with caplog.at_level(logging.WARNING):
        assert annotate(album).photos == 5
    assert "unturned" in caplog.text


class Faces(Recogniser):
    """A face is the red of who is at the keypoints."""

    def embed(self, rgb, keypoints):
        x, y = keypoints[0, :2].astype(int)
        turn = float(rgb[y, x, 0]) / 255 * np.pi * 2
        return np.array([np.cos(turn), np.sin(turn), 0, 0], np.float32)


def group(path, reds, shade=9):
    """Two people of one height, side by side."""
    photo(path, (100, 96), (4, 10, 40, 90), (reds[0], 0, 0), shade)
    with Image.open(path) as picture:
        picture.paste((reds[1], 0, 0), (60, 10, 90, 90))
        picture.save(path)


class Unlucky(Recogniser):
    """Fails on a photo of some size, as a network may."""

    def embed(self, rgb, keypoints):
        if rgb.shape[:2] == (120, 64):
            raise RuntimeError("shapes do not match")
        return super().embed(rgb, keypoints)


def test_a_network_that_fails_on_a_photo_costs_that_photo(album):
    photo(album / "ann" / "odd.png", (64, 120))
    summary = annotate_photos(album, lambda device: Networks(Finder(), Unlucky()))
    assert summary.photos == 5
    assert "failed: 1 ('ann/odd.png': RuntimeError: shapes do not match)" in str(summary)


def test_a_photo_is_looked_at_once_a_network(album):
    finder = Finder()
    annotate(album, finder)
    before = read_manifest(album)
    assert finder.seen == 5
    annotate(album, finder)
    assert finder.seen == 5
    assert [r.file_name for r in read_manifest(album)] == [r.file_name for r in before]
    (album / "ann" / "1.png").rename(album / "bob" / "moved.png")  # the same content
    photo(album / "bob" / "new.png")
    assert annotate(album, finder).kept == {"ann": 2, "bob": 4}
    assert finder.seen == 6
    annotate(album, finder, faces=False)
    assert finder.seen == 12


def test_captions_are_read_anew_without_looking_again(album):
    finder = Finder()
    annotate(album, finder)
    (album / "ann" / "2.txt").write_text("a woman in blue")
    annotate(album, finder)
    assert {r.file_name: r.caption for r in read_manifest(album)}["ann/2.jpg"] == "a woman in blue"
    assert finder.seen == 5


def test_changed_photos_are_named_and_annotated_anew(album):
    annotate(album)
    status = (album / "ann" / "1.png").stat()
    photo(album / "ann" / "1.png", (128, 192), (40, 20, 100, 180))
    os.utime(album / "ann" / "1.png", ns=(status.st_atime_ns, status.st_mtime_ns))  # as `cp -p` leaves it
    assert "1 photos changed since they were annotated, and are annotated anew: ann/1.png" in str(annotate(album))
    np.testing.assert_array_equal(read_manifest(album)[0].box, [40, 20, 100, 180])
    assert "changed" not in str(annotate(album))


def test_a_photo_changed_since_an_older_manifest_is_named(album):
    annotate(album)
    write_manifest(album, [replace(r, sha256="0" * 64) if "1" in r.file_name else r for r in read_manifest(album)])
    (album / FOLDER / FILE).unlink()
    assert "1 photos changed since" in str(annotate(album))


def test_copies_are_kept_once_and_photos_of_two_people_not_at_all(album):
    (album / "ann" / "9.png").write_bytes((album / "ann" / "1.png").read_bytes())
    (album / "ann" / "x.png").write_bytes((album / "bob" / "x.png").read_bytes())
    summary = annotate(album)
    assert summary.left_out["copy"] == 1
    assert "ann/9.png is a copy of ann/1.png" in str(summary)
    assert summary.left_out["under several people"] == 2
    assert "ann/x.png is the same photo as bob/x.png" in str(summary)
    assert summary.kept == {"ann": 3, "bob": 1}


@pytest.mark.parametrize(
    ("person", "box"),
    [("left", [4, 30, 30, 90]), ("largest", [40, 5, 90, 95]), ("right", [40, 5, 90, 95])],
)
def test_of_several_people_one_can_be_chosen(album, person, box):
    two = album / "ann" / "two.png"
    photo(two, (100, 96), (4, 30, 30, 90))
    with Image.open(two) as picture:
        picture.paste((255, 0, 0), (40, 5, 90, 95))
        picture.paste((255, 0, 0), (95, 60, 98, 70))  # far off in the background
        picture.save(two)
    assert annotate(album).left_out["several people"] == 1
    assert annotate(album, person=person).photos == 6
    found = next(r for r in read_manifest(album) if r.file_name == "ann/two.png")
    np.testing.assert_array_equal(found.box, box)


def test_of_several_people_who_has_the_given_face_is_chosen(album, tmp_path):
    """Faces are hues of the person's own red, see `Faces`."""
    for person in ("ann", "bob"):
        group(album / person / "group.png", reds=(200, 255))
    faces = tmp_path / "faces"
    for name, red in (("ann", 200), ("bob", 255)):
        photo(faces / f"{name}.png", colour=(red, 0, 0))
        for path in (album / name).glob("[!g]*.*"):
            if path.suffix != ".md" and path.suffix != ".txt":
                photo(path, colour=(red, 0, 0))
    networks = Networks(Finder(), Faces())
    summary = annotate_photos(album, lambda device: networks, person=str(faces))
    # The group is a photo of two people's folders: of one content it belongs to nobody, of two to both.
    assert summary.left_out["under several people"] == 2
    group(album / "bob" / "group.png", reds=(200, 255), shade=5)
    annotate_photos(album, lambda device: networks, person=str(faces))
    boxes = {r.file_name: r.box.tolist() for r in read_manifest(album)}
    assert boxes["ann/group.png"] == [4, 10, 40, 90]
    assert boxes["bob/group.png"] == [60, 10, 90, 90]
    photo(faces / "ann.png", colour=(154, 0, 0))  # nobody there
    told = str(annotate_photos(album, lambda device: networks, person=str(faces)))
    assert "left out, somebody else: 4" in told
    assert "no face like the given one" in told


def test_a_moved_group_photo_is_looked_at_again_for_its_new_person(album, tmp_path):
    group(album / "ann" / "group.png", reds=(200, 255))
    faces = tmp_path / "faces"
    for name, red in (("ann", 200), ("bob", 255)):
        photo(faces / f"{name}.png", colour=(red, 0, 0))
    networks = Networks(Finder(), Faces())
    for person, box in (("ann", [4, 10, 40, 90]), ("bob", [60, 10, 90, 90])):
        annotate_photos(album, lambda device: networks, person=str(faces))
        assert {r.file_name: r.box.tolist() for r in read_manifest(album)}[f"{person}/group.png"] == box
        (album / "ann" / "group.png").rename(album / "bob" / "group.png") if person == "ann" else None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("midle", "person: 'midle' is none of only, left, right, largest, and there are no photos PERSON.jpg of faces"),
        ("face.png", "holds several people: give a folder with a photo PERSON.jpg of each"),
        ("twice", "has two photos of ann"),
        ("nobody", "no person found"),
    ],
)
def test_what_nobody_can_be_chosen_by_is_refused(album, tmp_path, monkeypatch, given, told):
    monkeypatch.chdir(tmp_path)
    for name in ("face.png", "twice/ann.png", "twice/ann.jpg"):
        photo(tmp_path / name)
    photo(tmp_path / "nobody" / "ann.png", colour=(0, 0, 255))
    with pytest.raises(BolidError, match=told):
        annotate(album, person=given)
    with pytest.raises(BolidError, match="takes a face recogniser"):
        annotate(album, faces=False, person="nobody")


def test_faces_that_disagree_with_their_person_are_named(album):
    for person, green in (("ann", 10), ("bob", 90)):
        for number in range(4):
            photo(album / person / f"face{number}.png")
            with Image.open(album / person / f"face{number}.png") as picture:
                picture.putpixel((0, 0), (0, green + number, 0))
                picture.save(album / person / f"face{number}.png")
    for name in ("ann/1.png", "bob/x.png"):
        with Image.open(album / name) as picture:
            picture.putpixel((0, 0), (0, 90 if "bob" in name else 10, 0))
            picture.save(album / name)
    for path in (album / "ann" / "2.jpg", album / "ann" / "3.WEBP", album / "bob" / "y.jpeg"):
        path.unlink()
    with Image.open(album / "ann" / "face0.png") as picture:
        picture.putpixel((0, 0), (0, 91, 0))
        picture.save(album / "ann" / "face0.png")
    told = str(annotate(album))
    assert "faces that disagree with the others of their person: ann/face0.png" in told


def test_what_collection_and_curation_say_reaches_the_manifest(album):
    annotate(album)
    records = read_manifest(album)
    verdict = {"verdicts": {"blurry": "blurry: 12 < 40"}, "rejected": "blurry"}
    write_manifest(album, [replace(records[0], **verdict), *records[1:]])
    rows = [
        {
            "file_name": "ann/2.jpg",
            "address": "https://a.example/2.jpg",
            "time": "2026-12-01T10:00:00Z",
            "licence": "CC0",
        },
        {"file_name": "bob/x.png", "address": "https://a.example/x.png", "sha256": "0" * 64},
    ]
    lines = "\n".join([*map(json.dumps, rows), "{broken"])
    (album / "collected.jsonl").write_text(lines)
    assert "1 lines cannot be read" in str(annotate(album))
    found = {r.file_name: r for r in read_manifest(album)}
    assert (found["ann/1.png"].rejected, found["ann/1.png"].verdicts) == ("blurry", verdict["verdicts"])
    collected = found["ann/2.jpg"]
    assert (collected.address, collected.fetched) == ("https://a.example/2.jpg", "2026-12-01T10:00:00Z")
    assert (collected.licence, collected.source) == ("CC0", "collected")
    assert found["bob/x.png"].address == ""  # of another content
    photo(album / "ann" / "1.png", (128, 192), (40, 20, 100, 180))
    annotate(album)
    assert read_manifest(album)[0].rejected == ""  # the verdict was on another photo


def test_photos_that_curation_rejected_are_left_out_and_counted_by_kind(album, tmp_path):
    (album / "bob" / "x.txt").write_text("a man")
    with Image.open(album / "ann" / "1.png") as shown:
        shown.resize((40, 60)).save(album / "ann" / "1.png")
    (album / "metadata.jsonl").write_text('{"file_name": "ann/1.png", "text": "small"}\n')
    without = {"people": None, "identity": None, "body": None, "copies": None, "blurry": None, "exposure": None}
    home = tmp_path / "home"
    curate_photos(album, Filters(size=Size(50), caption=None, **without), out=home)
    finder = Finder()
    told = annotate(album, finder, curation=home)
    assert (told.photos, told.left_out["rejected by curation: size"], finder.seen) == (4, 1, 4)
    assert "left out, rejected by curation: size: 1 ('ann/1.png': small: 40 < 50 pixels)" in str(told)
    assert "whose photo is not there" not in str(told)
    assert {r.file_name for r in read_manifest(album)} == {"ann/2.jpg", "ann/3.WEBP", "bob/x.png", "bob/y.jpeg"}
    assert read_manifest(album)[0].verdicts == {"decodable": "kept", "size": "kept"}
    assert annotate(album, finder, curation=home, rejected=True).photos == 5
    found = {r.file_name: r for r in read_manifest(album)}
    assert (found["ann/1.png"].rejected, found["ann/1.png"].verdicts["size"]) == ("size", "small: 40 < 50 pixels")
    photo(album / "ann" / "1.png", (128, 192), (40, 20, 100, 180))  # the verdict was on another photo
    assert annotate(album, finder, curation=home).photos == 5
    curate_photos(album, Filters(size=Size(200), caption=None, **without), out=home)
    with pytest.raises(BolidError, match=r"no usable photo .*: 'ann/1.png': small: 128 < 200 pixels"):
        annotate(album, finder, curation=home)


def test_a_looser_threshold_brings_rejected_photos_back(album):
    (album / "metadata.jsonl").unlink(missing_ok=True)
    chain = {"people": None, "identity": None, "body": None, "copies": None, "blurry": None, "exposure": None}
    photo(album / "ann" / "large.png", (128, 192), (40, 20, 100, 180))
    curate_photos(album, Filters(size=Size(100), caption=None, **chain), min_photos=1)
    assert annotate(album).photos == 1
    assert curate_photos(album, Filters(size=Size(10), caption=None, **chain)).kept == 6
    assert annotate(album).photos == 6


def test_embedded_networks_look_at_rendered_photos_alone(album):
    (album / "ann" / "1.png").write_bytes(marked((album / "ann" / "1.png").read_bytes(), "rendered v2"))
    summary = annotate(album, rendered_only=["data/tiny/pose"])
    assert summary.photos == 1
    assert summary.left_out["not rendered"] == 4
    assert "data/tiny/pose knows rendered people alone; see --networks" in str(summary)


def test_silhouettes_are_written_once_and_read_in_training(album):
    for name in ("ann/1.jpg", "ann/1.png"):  # of one stem
        photo(album / name)
    finder = Finder()
    annotate(album, finder, faces=False, outliner=Outliner())
    summary = annotate(album, finder, faces=False, outliner=Outliner())  # which does not take masks for photos
    assert (summary.photos, finder.seen) == (6, 6)
    records = read_manifest(album)
    (album / records[0].silhouette).unlink()
    annotate(album, finder, faces=False, outliner=Outliner())  # a lost one is made again
    assert finder.seen == 7
    data = IdentityDataModule(album, batch_size=2, size=(96, 64), train=SplitSpec(flip=0.0))
    data.prepare_data()
    data.setup()
    for split in ("train", "val", "test"):
        for dataset in [d for (name, _), d in data._datasets.items() if name == split and len(d)]:
            sample = dataset[0]
            assert sample.silhouette_known.all()
            red = sample.pictures[:, :1] > 0.2
            assert ((sample.silhouettes > 0.5) == red).float().mean() > 0.97
    (album / "ann" / "1.jpg").unlink()
    annotate(album, finder, faces=False, outliner=Outliner())
    assert len(list((album / ".masks").rglob("*.png"))) == 5  # what is known of a photo goes with it
    annotate(album, faces=False)
    assert read_manifest(album)[0].silhouette is None


def test_what_is_no_album_is_refused(tmp_path):
    with pytest.raises(BolidError, match="no such folder"):
        annotate_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BolidError, match="FOLDER/PERSON/PHOTO: there are no photos"):
        annotate(tmp_path / "empty")
    photo(tmp_path / "album" / "ann" / "1.png", colour=(0, 0, 255))
    with pytest.raises(BolidError, match="no person found"):
        annotate(tmp_path / "album")
    with pytest.raises(BolidError, match="pose"):
        annotate_folder(tmp_path / "album", pose=str(tmp_path / "no pose"), face="none", segmenter="none")
    assert not (tmp_path / "album" / "metadata.parquet").exists()


def test_rendered_people_keep_their_exact_labels(tmp_path):
    records = [replace(r, renderer=1) for r in fabricate(tmp_path, {"train": 1})]
    write_manifest(tmp_path, records)
    with pytest.raises(BolidError, match="rendered"):
        annotate(tmp_path)


@pytest.mark.parametrize("content", [b"no database", b""])
def test_a_broken_store_is_named(album, content):
    (album / FOLDER).mkdir()
    (album / FOLDER / FILE).write_bytes(content)
    if content:
        with pytest.raises(BolidError, match="delete it"):
            annotate(album)
    else:
        assert annotate(album).photos == 5


def test_a_store_that_came_with_the_folder_is_not_trusted(album, tmp_path):
    annotate(album, outliner=Outliner())
    victim = album.parent / "victim.png"
    victim.write_bytes(b"mine")
    with sqlite3.connect(album / FOLDER / FILE) as base:
        base.execute("UPDATE findings SET mask = '../victim.png', keypoints = x'00'")
        base.execute("INSERT INTO findings VALUES ('gone', 'm', '', '', NULL, NULL, NULL, '../victim.png')")
    assert annotate(album, outliner=Outliner()).photos == 5
    assert victim.exists()
    assert all(r.silhouette.startswith(".masks/") for r in read_manifest(album))


@pytest.mark.slow  # every process imports torch
def test_several_processes_say_the_same_and_one_that_dies_costs_its_photo(album):
    alone = annotate_photos(album, load)
    before = read_manifest(album)
    (album / FOLDER / FILE).unlink()
    Image.new("RGB", (64, 96), (0, 255, 255)).save(album / "ann" / "deadly.png")
    summary = annotate_photos(album, load, devices=["cpu", "cpu"])
    assert summary.photos == alone.photos == 5
    assert "ended the process that read it" in str(summary)
    after = read_manifest(album)
    assert [r.sha256 for r in after] == [r.sha256 for r in before]
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(after, before, strict=True))


SLOWLY = """
import sys, time
from pathlib import Path
from bolid.data.annotate.annotate import annotate_photos
from bolid.data.annotate.networks import Networks
from tests.data.annotate.fakes import Finder, Recogniser

class Slow(Finder):
    def people(self, pictures):
        time.sleep(0.03)
        return super().people(pictures)

print(annotate_photos(Path(sys.argv[1]), lambda device: Networks(Slow(), Recogniser())), flush=True)
"""


@pytest.mark.slow
def test_a_killed_run_loses_nothing_that_was_final(tmp_path):
    folder = tmp_path / "album"
    for number in range(160):
        photo(folder / f"p{number % 4}" / f"{number}.png", shade=number + 1)
    command, seen = [sys.executable, "-c", SLOWLY, folder], []
    for _ in range(3):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = time.time()
        while time.time() < before + 60 and _final(folder) < (seen[-1] if seen else 0) + 16:
            time.sleep(0.01)
        running.send_signal(signal.SIGKILL)
        running.wait()
        seen.append(_final(folder))
        assert not (folder / "metadata.parquet").exists()
    assert 0 < seen[0] < seen[1] < seen[2]
    finder = Finder()
    assert annotate(folder, finder).photos == 160
    assert finder.seen == 160 - seen[-1]
    assert not [p for p in folder.rglob("*.tmp*") if p.parent.name != FOLDER]


def _final(folder) -> int:
    if not (folder / FOLDER / FILE).exists():
        return 0
    try:
        with sqlite3.connect(folder / FOLDER / FILE) as base:
            return base.execute("SELECT count(*) FROM findings").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_a_folder_that_is_to_stay_as_it_is_is_annotated_elsewhere(album, tmp_path, monkeypatch):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "cache"))
    (album / "metadata.csv").write_text("file_name,text\nbob/x.png,a man\n")
    before = sorted((str(p), p.stat().st_mtime_ns) for p in album.rglob("*"))
    from bolid.data.annotate.elsewhere import linked

    out = linked(album, tmp_path / "out", None)
    assert annotate(out).photos == 5
    assert sorted((str(p), p.stat().st_mtime_ns) for p in album.rglob("*")) == before
    assert {r.file_name: r.caption for r in read_manifest(out)}["bob/x.png"] == "a man"
    data = IdentityDataModule(out, batch_size=1, size=(24, 16))
    assert len(data._dataset("train", True).records) == 5
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "another machine"))
    with pytest.raises(BolidError, match=r"no usable photo.*leads outside"):
        annotate(out)
    monkeypatch.setenv("BOLID_LINKS", str(album))
    assert annotate(out).photos == 5
    with pytest.raises(BolidError, match="outside of it"):
        linked(album, album / "inner", None)


def test_links_into_an_allowed_folder_are_followed(album, tmp_path, monkeypatch):
    monkeypatch.setenv("BOLID_CACHE", str(tmp_path / "cache"))
    photo(tmp_path / "hub" / "blob.png")
    (album / "bob" / "linked.png").symlink_to(tmp_path / "hub" / "blob.png")
    assert annotate(album).left_out["link outside"] == 1
    from bolid.data.annotate.elsewhere import linked

    linked(album, None, tmp_path / "hub")
    assert annotate(album).photos == 6


MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from bolid.data.annotate.find import Rules
from bolid.data.annotate.run import Run
from bolid.data.annotate.store import Finding

folder, count = Path(sys.argv[1]), int(sys.argv[2])
folder.mkdir()
with Run(folder, Rules(folder)) as run:
    run.model, face = "m", np.ones(128, np.float32) / 128 ** 0.5
    points = np.ones((17, 3), np.float32)
    for k in range(count):
        run.store.add_file(f"p{k // 50:06d}/{k}.jpg", f"p{k // 50:06d}", "", f"{k:064d}")
        run.store.add(f"{k:064d}", "m", Finding("", "", points, np.ones(4, np.float32), face))
    run.store.commit()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run.write()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_photos(tmp_path):
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", MEMORY, tmp_path / str(n), str(n)], capture_output=True, text=True, check=True
            ).stdout
        )
        for n in (1_000, 30_000)
    ]
    assert peaks[1] < peaks[0] + 60
