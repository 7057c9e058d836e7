"""Shards hold the samples of their folder bit for bit, WebDataset's own reader reads them, hostile ones are refused."""

import io
import json
import tarfile
from dataclasses import is_dataclass, replace

import pytest
import torch
from PIL import Image

from bolid.cli import main
from bolid.core.errors import BolidError
from bolid.core.safe_io import PictureError
from bolid.data.datamodule import IdentityDataModule
from bolid.data.manifest import read_manifest, write_manifest
from bolid.data.sampler import Draw
from bolid.data.shards import photos_of
from bolid.data.write_shards import Shards, shard
from tests.data.fabricate import fabricate


@pytest.fixture
def folder(tmp_path):
    fabricate(tmp_path / "set", {"train": 3, "val": 2, "test": 2}, silhouettes=True)
    return tmp_path / "set"


def same(one, other):
    """Whether two samples are equal, bit for bit."""
    if is_dataclass(one):
        return type(one) is type(other) and all(same(v, getattr(other, name)) for name, v in vars(one).items())
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one.nan_to_num(7), other.nan_to_num(7))
    return one == other


def samples(folder):
    data = IdentityDataModule(folder, batch_size=2)
    data.prepare_data()
    data.setup()
    train = data._datasets["train", True]
    yield from (train[Draw(epoch, place)] for epoch in range(2) for place in range(6))
    yield from (sample for split in ("val", "test") for sample in data._datasets[split, False])


def test_the_samples_are_those_of_the_folder(folder, tmp_path, capsys):
    assert main(["data", "shard", str(folder), "--out", str(tmp_path / "shards"), "--megabytes", "1"]) == 0
    assert "21 photos in 1 shards" in capsys.readouterr().out
    pairs = list(zip(samples(folder), samples(tmp_path / "shards"), strict=True))
    assert len(pairs) == 24
    assert all(same(one, other) for one, other in pairs)
    assert not same(pairs[0][0], pairs[1][0])
    assert pairs[0][0].silhouettes.any()


def test_shards_are_bounded_and_webdataset_reads_them(folder, tmp_path):
    wds = pytest.importorskip("webdataset", reason="pip install webdataset")
    with Shards(tmp_path, 20_000) as shards:
        for number in range(20):
            shards.add(f"{number:09d}", [("json", b"{}"), ("png", bytes(4000))])
    paths = sorted(tmp_path.glob("shard-*.tar"))
    assert len(paths) == shards.count == 7
    assert max(path.stat().st_size for path in paths) <= 20_480  # tar fills up to a whole record
    shard(folder, tmp_path / "whole")
    urls = [path.as_uri().replace("file://", "file:") for path in sorted((tmp_path / "whole").glob("*.tar"))]
    read = list(wds.WebDataset(urls, shardshuffle=False))
    told = [json.loads(sample["json"]) for sample in read]
    records = read_manifest(folder)
    assert [t["file_name"] for t in told] == [r.file_name for r in records]
    for sample, record in zip(read, records, strict=True):
        assert sample["png"] == (folder / record.file_name).read_bytes()
        assert sample["mask.png"] == (folder / record.silhouette).read_bytes()


def test_what_does_not_serve_is_left_out_by_name(folder, tmp_path, caplog):
    records = read_manifest(folder)
    write_manifest(folder, [replace(records[0], rejected="blurry"), *records[1:]])
    (folder / records[1].file_name).unlink()
    Image.new("RGB", (64, 96)).save(folder / records[2].file_name)
    assert "18 photos in 1 shards" in (told := shard(folder, tmp_path / "out"))
    assert "3 left out" in told
    assert "changed since it was annotated" in caplog.text
    assert [r.file_name for r in read_manifest(tmp_path / "out")] == [r.file_name for r in records[3:]]
    with pytest.raises(BolidError, match="is there already"):
        shard(folder, tmp_path / "out")


def test_a_photo_that_no_shard_has_is_skipped_by_name(folder, tmp_path):
    shard(folder, tmp_path / "out")
    photos = photos_of(tmp_path / "out")
    name = read_manifest(folder)[0].file_name
    with photos.file(name) as path:
        assert path.read_bytes() == (folder / name).read_bytes()
    assert not path.exists()
    with (
        pytest.raises(PictureError, match=r"train/gone\.png: is in none of the 1 shards"),
        photos.file("train/gone.png"),
    ):
        pass
    assert photos.stamp("train/gone.png") == "missing"


def entry(name, content=b"x", **more):
    """A member as a hostile writer makes it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def tell(key, told):
    return entry(f"{key}.json", json.dumps(told).encode())


HOSTILE = {
    "a path to outside": ([tell("1", {"file_name": "../../x.png"}), entry("1.png")], "leads outside"),
    "an absolute path": ([tell("1", {"file_name": "/etc/passwd"}), entry("1.png")], "leads outside"),
    "a member's path": ([entry("../1.json", b"{}")], "leads outside"),
    "a folder": ([entry("a/", b"", type=tarfile.DIRTYPE)], "no regular file"),
    "a path inside": ([entry("a/1.json", b"{}")], "no regular file"),
    "a link": ([entry("1.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")], "no regular file"),
    "a hard link": ([entry("1.png", b"", type=tarfile.LNKTYPE, linkname="/etc/passwd")], "no regular file"),
    "a device": ([entry("1.png", b"", type=tarfile.CHRTYPE)], "no regular file"),
    "a sparse file": ([entry("1.png", b"", type=tarfile.GNUTYPE_SPARSE)], "no regular file"),
    "an extended header": ([entry("1.png", b"", type=tarfile.XHDTYPE)], "no regular file"),
    "no name": ([tell("1", {}), entry("1.png")], "1.json"),
    "no JSON": ([entry("1.png")], "comes before its 1.json"),
    "broken JSON": ([entry("1.json", b"{"), entry("1.png")], "cannot be read"),
    "deep JSON": ([entry("1.json", b"[" * 100_000), entry("1.png")], "cannot be read"),
    "large JSON": ([entry("1.json", bytes(2_000_000)), entry("1.png")], "too many"),
    "the same photo twice": ([tell("1", {"file_name": "a.png"}), entry("1.png"), entry("1.png")], "twice"),
}


@pytest.mark.parametrize(("members", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_shards_are_refused(tmp_path, members, message):
    with tarfile.open(tmp_path / "shard-000000.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(BolidError, match=message) as error:
        photos_of(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("told", [10**9, -1, 8**11 - 1, 2**70])
def test_sizes_that_are_not_there_are_refused(tmp_path, told):
    info, _ = entry("1.png")
    info.size = told
    (tmp_path / "shard-000000.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(BolidError, match="by its header"):
        photos_of(tmp_path)


def test_what_is_no_tar_file_is_refused(tmp_path):
    (tmp_path / "shard-000000.tar").write_bytes(b"\x1f\x8b\x08" + bytes(range(256)) * 4)  # compressed ones are none
    with pytest.raises(BolidError, match="not a plain tar file"):
        photos_of(tmp_path)
    (tmp_path / "shard-000000.tar").unlink()
    (tmp_path / "shard-000000.tar").symlink_to("/bin/sh")
    with pytest.raises(BolidError, match="leads outside the folder"):
        photos_of(tmp_path)
