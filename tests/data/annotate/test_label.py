import logging

import numpy as np
import pytest
import torch
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.schema import ANYBODY
from bolid.data.annotate.label import label_folder, label_photos
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import read_manifest
from bolid.data.specs import ReferenceSpec, SplitSpec
from bolid.vision.person import find_person
from bolid.vision.pose import Pose
from tests.core.test_safe_io import png_header
from tests.data import invariants
from tests.data.fabricate import fabricate
from tests.synthetic.test_datamodule import Recogniser


class Finder:
    """Finds as a person what is red: the box of it, with every keypoint in its middle."""

    largest = 0

    def estimate(self, pictures: torch.Tensor, count_others: bool = False) -> Pose:
        assert pictures.dtype == torch.float32
        assert 0 <= pictures.min() <= pictures.max() <= 1
        self.largest = max(self.largest, *pictures.shape[-2:])
        rows, columns = torch.where(pictures[0, 0] > 0.6)
        if not len(rows):
            return Pose(torch.zeros(1, 17, 3), torch.zeros(1, 4), torch.zeros(1))
        box = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        middle = torch.tensor([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 0.9])
        return Pose(middle.expand(1, 17, 3), box[None], torch.ones(1))


def photo(path, size=(64, 96), box=(20, 10, 50, 90), colour=(255, 0, 0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size)
    picture.paste(colour, box)
    picture.save(path)


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "album"
    for name in ("ann/1.png", "ann/2.jpg", "ann/3.WEBP", "bob/x.png", "bob/y.jpeg"):
        photo(folder / name)
    (folder / "ann" / "1.txt").write_text("  a woman\nin red ")
    (folder / "ann" / "notes.md").write_text("not a photo")
    return folder


def test_a_folder_of_photos_becomes_a_data_set(album):
    summary = label_photos(album, Finder(), Recogniser())
    assert str(summary) == "5 photos of 2 people, 5 with a face; 0 skipped"
    records = {r.file_name: r for r in read_manifest(album)}
    assert sorted(records) == ["ann/1.png", "ann/2.jpg", "ann/3.WEBP", "bob/x.png", "bob/y.jpeg"]
    assert {r.identity for r in records.values()} == {"ann", "bob"}
    assert records["ann/1.png"].caption == "a woman in red"
    assert records["ann/2.jpg"].caption == ANYBODY
    np.testing.assert_array_equal(records["ann/1.png"].box, [20, 10, 50, 90])
    np.testing.assert_allclose(records["ann/1.png"].keypoints, [[35, 50, 0.9]] * 17)
    assert records["ann/1.png"].renderer == 0
    assert len(records["ann/1.png"].sha256) == 64


def test_it_can_be_trained_on(album):
    label_photos(album, Finder(), None)
    (album / "train").mkdir()
    for person in ("ann", "bob"):
        (album / person).rename(album / "train" / person)
    summary = label_photos(album, Finder(), None)  # folders of splits are understood, and the old manifest goes
    assert {r.file_name.split("/")[0] for r in read_manifest(album)} == {"train"}
    assert {r.identity for r in summary.records} == {"ann", "bob"}
    data = IdentityDataModule(album, batch_size=2, size=(24, 16), references=ReferenceSpec((24, 16)))
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    invariants.check_ranges(batch)
    assert not batch.references.face_mask.any()
    assert not batch.silhouette_known.any()


def test_what_cannot_be_used_is_skipped_and_named(album, tmp_path, caplog):
    photo(tmp_path / "secret.png")
    (tmp_path / "elsewhere").mkdir()
    photo(tmp_path / "elsewhere" / "z.png")
    (album / "bob" / "link.png").symlink_to(tmp_path / "secret.png")
    (album / "eve").symlink_to(tmp_path / "elsewhere")
    (album / "ann" / "cut.png").write_bytes((album / "ann" / "1.png").read_bytes()[:70])
    (album / "ann" / "bomb.png").write_bytes(png_header(100_000, 100_000))
    (album / "ann" / "gone.png").symlink_to("nothing.png")
    (album / "ann" / "bad\nname.png").write_bytes((album / "ann" / "1.png").read_bytes())
    photo(album / "ann" / "nobody.png", colour=(0, 0, 255))
    photo(album / "ann" / "captioned.png")
    (album / "ann" / "captioned.txt").symlink_to("/etc/hostname")
    with caplog.at_level(logging.WARNING):
        summary = label_photos(album, Finder(), None)
    assert len(summary.records) == 5
    bad = ("link.png", "z.png", "cut.png", "bomb.png", "gone.png", r"bad\nname.png", "nobody.png", "captioned.txt")
    for name in bad:
        assert name in caplog.text
    assert len(summary.skipped) == len(bad)
    assert "8 skipped" in str(summary)


def test_captions_are_bounded(album):
    (album / "ann" / "1.txt").write_bytes(b"\xff\xfe word " * 10_000)
    label_photos(album, Finder(), None)
    assert len(read_manifest(album)[0].caption) <= 2000


def test_large_photos_are_shrunk_for_the_network_and_scaled_back():
    picture = Image.new("RGB", (3000, 1500))
    picture.paste((255, 0, 0), (300, 600, 900, 1200))
    finder = Finder()
    keypoints, box = find_person(picture, finder, "x")
    assert finder.largest == 1280
    np.testing.assert_allclose(box, [300, 600, 900, 1200], atol=4)
    np.testing.assert_allclose(keypoints[0], [600, 900, 0.9], atol=4)


def test_what_is_no_album_is_refused(tmp_path):
    with pytest.raises(BolidError, match="no such folder"):
        label_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BolidError, match="FOLDER/PERSON/PHOTO"):
        label_photos(tmp_path / "empty", Finder(), None)
    photo(tmp_path / "album" / "ann" / "1.png", colour=(0, 0, 255))
    with pytest.raises(BolidError, match="no person found"):
        label_photos(tmp_path / "album", Finder(), None)
    with pytest.raises(BolidError, match="pose"):
        label_folder(tmp_path / "album", pose=tmp_path / "no pose", face=None)


def test_rendered_people_keep_their_exact_labels(tmp_path):
    from dataclasses import replace

    from bolid.data.manifest import write_manifest

    records = [replace(r, renderer=1) for r in fabricate(tmp_path, {"train": 1})]
    write_manifest(tmp_path, records)
    with pytest.raises(BolidError, match="rendered"):
        label_photos(tmp_path, Finder(), None)


class Outliner:
    """Takes what is red for the person."""

    def silhouette(self, picture):
        return np.where(np.asarray(picture)[..., 0] > 150, 255, 0).astype(np.uint8)


def test_silhouettes_are_written_beside_and_read_in_training(album):
    for name in ("ann/1.jpg", "ann/1.png"):  # of one stem
        photo(album / name)
    label_photos(album, Finder(), None, Outliner())
    summary = label_photos(album, Finder(), None, Outliner())  # which does not take masks for photos
    assert len(summary.records) == 6
    assert all(r.silhouette == f".masks/{r.file_name}.png" for r in read_manifest(album))
    data = IdentityDataModule(album, batch_size=2, size=(96, 64), train=SplitSpec(flip=0.0))
    data.prepare_data()
    data.setup()
    for split in ("train", "val", "test"):
        for dataset in [d for (name, _), d in data._datasets.items() if name == split and len(d)]:
            sample = dataset[0]
            assert sample.silhouette_known.all()
            red = sample.pictures[:, :1] > 0.2
            assert ((sample.silhouettes > 0.5) == red).float().mean() > 0.97
    assert label_photos(album, Finder(), None).records[0].silhouette is None
