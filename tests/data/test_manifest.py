from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.schema import ImageRecord, Phrase
from bolid.data import manifest
from bolid.data.manifest import (
    FORMAT,
    MANIFEST,
    ManifestWriter,
    read_kept,
    read_manifest,
    stream_manifest,
    write_manifest,
)
from tests.data.fabricate import fabricate


def assert_same(a: ImageRecord, b: ImageRecord) -> None:
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            assert value.dtype == other.dtype
            np.testing.assert_array_equal(value, other)
        else:
            assert value == other, name


@pytest.fixture
def records(tmp_path):
    found = fabricate(tmp_path, {"train": 2, "val": 1}, silhouettes=True)
    found[0] = replace(found[0], face_box=np.arange(4, dtype=np.float32), keypoints_canonical=found[1].keypoints)
    write_manifest(tmp_path, found)
    return found


def test_records_come_back_as_they_were(tmp_path, records):
    back = {r.file_name: r for r in read_manifest(tmp_path)}
    assert list(back) == [r.file_name for r in records]
    for record in records:
        assert_same(record, back[record.file_name])


def test_photos_outside_splits_share_one_manifest(tmp_path):
    records = fabricate(tmp_path, {"": 2}, photos=2)
    assert (tmp_path / MANIFEST).is_file()
    assert [r.file_name for r in read_manifest(tmp_path)] == [r.file_name for r in records]


def test_writing_replaces_everything(tmp_path, records):
    write_manifest(tmp_path, records[:2])
    assert [r.file_name for r in read_manifest(tmp_path)] == [r.file_name for r in records[:2]]
    assert not (tmp_path / "val" / MANIFEST).exists()


def test_hugging_face_datasets_reads_it(tmp_path, records, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(tmp_path), cache_dir=str(tmp_path / ".hf"))
    assert {k: len(v) for k, v in loaded.items()} == {"train": 6, "validation": 3}
    for row, record in zip(loaded["train"], records[:6], strict=True):
        with Image.open(tmp_path / record.file_name) as picture:
            np.testing.assert_array_equal(np.asarray(row["image"]), np.asarray(picture))
        assert row["caption"] == record.caption
        assert row["phrases"][0] == {"kind": "gender", "text": "a photo of a woman"}
        np.testing.assert_array_equal(np.float32(row["keypoints"]), record.keypoints)


@pytest.mark.parametrize("name", ["../outside.png", "/etc/passwd", "train/../../x.png"])
@pytest.mark.parametrize("column", ["file_name", "silhouette"])
def test_rows_that_point_outside_are_refused(tmp_path, records, name, column):
    with pytest.raises(BolidError, match="outside its folder"):
        write_manifest(tmp_path, [replace(records[0], **{column: name})])
    table = pq.read_table(tmp_path / "train" / MANIFEST, partitioning=None)
    values = table[column].to_pylist()
    table = table.set_column(table.column_names.index(column), column, pa.array([name, *values[1:]]))
    pq.write_table(table, tmp_path / "train" / MANIFEST)
    with pytest.raises(BolidError, match="outside its folder"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"keypoints": np.zeros((16, 3))},
        {"box": np.array([0, 0, np.nan, 1])},
        {"face_embedding": np.zeros((2, 64))},
    ],
)
def test_wrong_arrays_are_not_written(tmp_path, records, change):
    with pytest.raises(BolidError, match=next(iter(change))):
        write_manifest(tmp_path, [replace(records[0], **change)])


def test_face_embeddings_have_any_size_and_all_the_same(tmp_path, records):
    short = [r if r.face_embedding is None else replace(r, face_embedding=np.ones(128, np.float32)) for r in records]
    write_manifest(tmp_path, short)
    back = read_manifest(tmp_path)
    assert {r.face_embedding.shape for r in back if r.face_embedding is not None} == {(128,)}
    with pytest.raises(BolidError, match="face_embedding of shape"):
        write_manifest(tmp_path, [*records[:3], *short[3:]])


def rewrite(folder, change):
    """Changes the tables of a folder."""
    for path in folder.rglob(MANIFEST):
        pq.write_table(change(pq.read_table(path, partitioning=None)), path)


def as_version_2(table):
    """A table as it was before collection and curation."""
    return table.drop_columns(["address", "fetched", "verdicts", "rejected"]).replace_schema_metadata(
        {"bolid_manifest": "2"}
    )


def as_version_1(table):
    """A table as it was before formats had versions."""
    new = ["whole_figure", "proportions", "attributes", "scene", "group", "family"]
    return as_version_2(table).drop_columns(new).replace_schema_metadata({})


@pytest.mark.parametrize("older", [as_version_1, as_version_2])
def test_a_manifest_of_an_older_version_is_read_with_defaults(tmp_path, records, older):
    rewrite(tmp_path, older)
    back = {r.file_name: r for r in read_manifest(tmp_path)}
    for record in records:
        assert_same(record, back[record.file_name])


def test_typed_fields_come_back(tmp_path, records):
    known = {"attributes": {"pose": "standing", "shirt": "red"}, "whole_figure": False, "scene": "s", "group": "g"}
    known |= {"proportions": np.arange(7, dtype=np.float32), "family": "f"}
    known |= {"address": "https://a/1.jpg", "fetched": "2026-12-01T13:00:00Z", "rejected": "blurry"}
    known |= {"verdicts": {"size": "kept", "blurry": "blurry: 12.3 < 40"}}
    write_manifest(tmp_path, [replace(records[0], **known), *records[1:]])
    first = read_manifest(tmp_path)[0]
    assert_same(first, replace(records[0], **known))
    schema = pq.read_schema(tmp_path / "train" / MANIFEST)
    assert schema.metadata[b"bolid_manifest"] == str(FORMAT).encode() == b"3"


@pytest.mark.parametrize("version", ["4", "0", "-1", "2.0", "two", "\xb2", ""])
def test_a_manifest_of_another_version_is_refused_by_name(tmp_path, records, version):
    rewrite(tmp_path, lambda table: table.replace_schema_metadata({"bolid_manifest": version}))
    with pytest.raises(BolidError, match=r"train.metadata.parquet: a manifest of format .* reads 1 to 3: update BoLID"):
        read_manifest(tmp_path)


def test_rejected_photos_stay_in_the_manifest_and_are_left_out_of_training(tmp_path, records, caplog):
    write_manifest(tmp_path, [replace(records[0], rejected="blurry"), *records[1:]])
    assert len(read_manifest(tmp_path)) == len(records)
    assert [r.file_name for r in read_kept(tmp_path)] == [r.file_name for r in records[1:]]
    assert "1 for blurry" in caplog.text


def test_a_streamed_manifest_is_the_same(tmp_path, records):
    with ManifestWriter(tmp_path) as writer:
        for batch in stream_manifest(tmp_path, rows=2):  # the old one can be read from while it is replaced
            assert len(batch) <= 2
            writer.write(batch)
    assert writer.rows == len(records)
    for before, after in zip(records, read_manifest(tmp_path), strict=True):
        assert_same(before, after)


def fail_after(folder, records):
    with ManifestWriter(folder) as writer:
        writer.write(records)
        raise RuntimeError


def test_a_writer_that_fails_leaves_the_old_manifest_and_no_other_file(tmp_path, records, monkeypatch):
    monkeypatch.setattr("bolid.data.manifest.ROWS", 2)
    before = sorted(p for p in tmp_path.rglob("*"))
    with pytest.raises(RuntimeError):
        fail_after(tmp_path, records)
    with pytest.raises(BolidError, match="twice"):
        write_manifest(tmp_path, [*records[:3], records[0]])
    assert sorted(p for p in tmp_path.rglob("*")) == before
    assert len(read_manifest(tmp_path)) == len(records)


def test_a_photo_stands_once(tmp_path, records):
    with pytest.raises(BolidError, match="twice"):
        write_manifest(tmp_path, [records[0], records[0]])


def minimal_rows():
    return [{"file_name": "a.png", "identity": "a", "keypoints": [[1.0, 2.0, 1.0]] * 17, "box": [0.0, 0.0, 8.0, 8.0]}]


def test_a_foreign_manifest_needs_four_columns_only(tmp_path):
    rows = [r | {"caption": "a man on a bench", "mood": "good"} for r in minimal_rows()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / MANIFEST)
    (record,) = read_manifest(tmp_path)
    assert record.phrases == [Phrase("text", "a man on a bench")]
    assert record.keypoints.shape == (17, 3)
    assert (record.renderer, record.source, record.silhouette) == (0, "", None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"keypoints": [[1.0, 2.0, 1.0]] * 16}, "shape"),
        ({"keypoints": [[1.0, 2.0]] * 17}, "shape"),
        ({"keypoints": None}, "keypoints"),
        ({"box": [0.0, 0.0, float("inf"), 1.0]}, "finite"),
        ({"identity": None}, "identity"),
        ({"file_name": None}, "file_name"),
        ({"phrases": [{"kind": "mood", "text": "sad"}]}, "kind"),
        ({"box": "0 0 8 8"}, "manifest"),
        ({"attributes": [{"name": None, "value": "x"}]}, "attributes"),
        ({"attributes": [{"name": "pose", "value": "x"}, {"name": "pose", "value": "y"}]}, "each once"),
        ({"face_embedding": []}, "shape"),
    ],
)
def test_malformed_rows_are_told_apart(tmp_path, change, message):
    pq.write_table(pa.Table.from_pylist([minimal_rows()[0] | change]), tmp_path / MANIFEST)
    with pytest.raises(BolidError, match=message):
        read_manifest(tmp_path)


def test_proportions_are_of_one_kind(tmp_path, records):
    few, many = (np.zeros(count, np.float32) for count in (6, 7))
    with pytest.raises(BolidError, match="different numbers of proportions"):
        write_manifest(tmp_path, [replace(records[0], proportions=few), replace(records[1], proportions=many)])


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(BolidError, match="bolid data annotate"):
        read_manifest(tmp_path / "nowhere")
    (tmp_path / MANIFEST).write_text("no parquet")
    with pytest.raises(BolidError, match="not a readable manifest"):
        read_manifest(tmp_path)
    pq.write_table(pa.table({"file_name": ["a"]}), tmp_path / MANIFEST)
    with pytest.raises(BolidError, match="identity, keypoints, box"):
        read_manifest(tmp_path)


def test_streaming_holds_a_few_rows_however_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "ROWS", 64)
    points, box, face = np.ones((17, 3), np.float32), np.ones(4, np.float32), np.ones(2048, np.float32)
    rng = np.random.default_rng(0)
    with ManifestWriter(tmp_path) as writer:  # of 40 groups of half a megabyte
        for k in range(40):
            faces = face * rng.random((64, 2048), np.float32)
            names = [f"p/{k}-{n}.png" for n in range(64)]
            writer.write(
                [ImageRecord(a, "p", [], points, box, face_embedding=f) for a, f in zip(names, faces, strict=True)]
            )
    assert (tmp_path / "metadata.parquet").stat().st_size > 20_000_000
    before, held = pa.total_allocated_bytes(), []
    for _ in stream_manifest(tmp_path, 64):
        held.append(pa.total_allocated_bytes() - before)
    assert len(held) == 40
    assert max(held) < 5_000_000
