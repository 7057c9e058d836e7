"""The manifest: photos' records as Parquet, in the layout of HF datasets' `imagefolder`.

A photo below `train/`, `val/` or `test/` stands in that folder's `metadata.parquet`, `file_name` relative to it, so
that `load_dataset("imagefolder", data_dir=…)` finds the splits; every other photo stands in the top folder's. Paths of
silhouettes are relative to the top folder.

A file's schema metadata hold the version of this format under `bolid_manifest`. Files without are of version 1, or from
elsewhere: columns that they lack take their defaults.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, check_relative
from bolid.core.schema import PHRASE_KINDS, SPLITS, ImageRecord, Phrase

MANIFEST = "metadata.parquet"
FORMAT = 2  # 1 had no whole_figure, proportions, attributes, scene, group and family
_VERSION = b"bolid_manifest"
# Shapes of the columns that hold arrays; the nested lists of a row must have exactly these lengths, 0 being any one.
_SHAPES = {
    "keypoints": (17, 3),
    "keypoints_canonical": (17, 3),
    "box": (4,),
    "face_box": (4,),
    "face_embedding": (0,),
}
_STRINGS = ("face_model", "silhouette", "source", "licence", "sha256", "scene", "group", "family")
_REQUIRED = ("file_name", "identity", "keypoints", "box")
_ATTRIBUTE = pa.struct([("name", pa.string()), ("value", pa.string())])
_PHRASE = pa.struct([("kind", pa.string()), ("text", pa.string())])


def _list_type(shape: tuple[int, ...]) -> pa.DataType:
    kind: pa.DataType = pa.float32()
    for _ in shape:
        kind = pa.list_(kind)
    return kind


SCHEMA = pa.schema(
    [("file_name", pa.string()), ("identity", pa.string()), ("caption", pa.string()), ("phrases", pa.list_(_PHRASE))]
    + [(name, _list_type(shape)) for name, shape in _SHAPES.items()]
    + [(name, pa.string()) for name in _STRINGS]
    + [("renderer", pa.int32()), ("whole_figure", pa.bool_()), ("proportions", pa.list_(pa.float32()))]
    + [("attributes", pa.list_(_ATTRIBUTE))],
    metadata={_VERSION: str(FORMAT).encode()},
)


def split_of(file_name: str) -> str | None:
    """The split that a photo's top folder names, or None if it names none."""
    top = PurePosixPath(file_name).parts[0]
    return top if top in SPLITS else None


def write_manifest(folder: Path, records: Sequence[ImageRecord]) -> None:
    """Writes the folder's whole manifest: rows that are not among `records` are gone afterwards.

    Each file is written atomically. To extend a folder, write `read_manifest(folder) + new`.

    Args:
        folder: The top folder of the photos.
        records: One per photo, in any order; their order is kept within a split.

    Raises:
        BolidError: if a path leaves the folder, a photo stands twice, or an array has the wrong shape.
    """
    folder = Path(folder)
    _check_unique(folder, records)
    for split in (None, *SPLITS):
        path = folder / (split or "") / MANIFEST
        here = [r for r in records if split_of(r.file_name) == split]
        if here:
            table = _to_table(folder, here, split)
            with atomic_path(path) as temporary:
                pq.write_table(table, temporary)
        else:
            path.unlink(missing_ok=True)


def read_manifest(folder: Path) -> list[ImageRecord]:
    """Reads the records of all photos below `folder`, the top folder's first, then train, val and test.

    Photos themselves are not opened. Columns other than `file_name`, `identity`, `keypoints` and `box` may be missing;
    a `caption` without `phrases` becomes one phrase of kind `text`.

    Raises:
        BolidError: if there is no manifest, or a row is malformed or points outside the folder.
    """
    folder = Path(folder)
    paths = [(split, folder / (split or "") / MANIFEST) for split in (None, *SPLITS)]
    records = [r for split, path in paths if path.is_file() for r in _read_table(path, split)]
    if not any(path.is_file() for _, path in paths):
        raise BolidError(f"{folder}: no {MANIFEST} here; make one with `bolid data label {folder}`, or mend the path.")
    _check_unique(folder, records)
    return records


def _check_unique(folder: Path, records: Sequence[ImageRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        check_relative(record.file_name, f"manifest of {folder}")
        if record.silhouette:
            check_relative(record.silhouette, f"manifest of {folder}")
        if record.file_name in seen:
            raise BolidError(f"manifest of {folder}: {record.file_name!r} stands there twice.")
        seen.add(record.file_name)


def _to_table(folder: Path, records: Sequence[ImageRecord], split: str | None) -> pa.Table:
    names = [r.file_name if split is None else r.file_name.removeprefix(f"{split}/") for r in records]
    columns: dict[str, object] = {
        "file_name": names,
        "identity": [r.identity for r in records],
        "caption": [r.caption for r in records],
        "phrases": [[p._asdict() for p in r.phrases] for r in records],
        "renderer": [r.renderer for r in records],
    }
    columns |= {name: [getattr(r, name) for r in records] for name in (*_STRINGS, "whole_figure", "proportions")}
    columns["attributes"] = [[{"name": k, "value": v} for k, v in r.attributes.items()] for r in records]
    columns |= {name: _to_lists(folder, records, name) for name in _SHAPES}
    return pa.table([pa.array(columns[f.name], f.type) for f in SCHEMA], schema=SCHEMA)


def _to_lists(folder: Path, records: Sequence[ImageRecord], name: str) -> pa.Array:
    """A column of nested lists, made from one flat buffer: Python lists of 40,000 embeddings take seconds."""
    values = [getattr(r, name) for r in records]
    shape = _shape(name, (len(v) for v in values if v is not None))
    for record, value in zip(records, values, strict=True):
        if value is not None and (np.shape(value) != shape or not np.isfinite(value).all()):
            what = f"needs {name} of shape {shape} with finite values"
            raise BolidError(f"manifest of {folder}: {record.file_name!r} {what}.")
    present = [np.asarray(v, np.float32).ravel() for v in values if v is not None]
    lists = pa.array(np.concatenate([np.empty(0, np.float32), *present]))
    for length in reversed(shape[1:]):
        starts = np.arange(0, len(lists) + 1, length)
        lists = pa.ListArray.from_arrays(starts.astype(np.int32), lists)
    missing = np.array([v is None for v in values], bool)
    offsets = np.concatenate([[0], np.cumsum(np.where(missing, 0, shape[0]))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), lists, mask=pa.array(missing))


def _read_table(path: Path, split: str | None) -> list[ImageRecord]:
    try:
        table = pq.read_table(path, partitioning=None)
        _check_version(path, table.schema.metadata or {})
        missing = [c for c in _REQUIRED if c not in table.column_names]
        if missing:
            raise BolidError(f"{path}: the column(s) {', '.join(missing)} are missing.")
        table = table.select([c for c in SCHEMA.names if c in table.column_names])
        table = table.cast(pa.schema([SCHEMA.field(c) for c in table.column_names])).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise BolidError(f"{path}: not a readable manifest ({error}).") from error
    columns = {c: _column(path, table, c) for c in table.column_names if c not in ("caption", "phrases")}
    columns["phrases"] = _phrases(path, table)
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [_to_record(path, row, split) for row in rows]


def _check_version(path: Path, metadata: Mapping[bytes, bytes]) -> None:
    found = metadata.get(_VERSION, b"1").decode(errors="replace")
    if not found.isdecimal() or not 1 <= int(found) <= FORMAT:
        raise BolidError(
            f"{path}: a manifest of format {found[:20]!r}, and this version of BoLID reads 1 to {FORMAT}: "
            "update BoLID, or label the folder anew."
        )


def _shape(name: str, lengths: Iterable[int]) -> tuple[int, ...]:
    """A column's shape; where any length will do, the first one's, which the others must have."""
    return tuple(length or next(iter(lengths), 1) for length in _SHAPES[name])


def _column(path: Path, table: pa.Table, name: str) -> list:
    """One value per row; the reverse of `_to_lists` for arrays."""
    column = table[name]
    if name not in _SHAPES:
        return column.to_pylist()
    valid = column.is_valid().to_numpy()
    flat = column.combine_chunks()
    shape = _shape(name, flat.drop_null().value_lengths().to_pylist()[:1])
    for length in shape:
        if (flat.drop_null().value_lengths().to_numpy() != length).any():
            raise BolidError(f"{path}: a row of {name} does not have the shape {shape}.")
        flat = flat.flatten()
    values = flat.to_numpy(zero_copy_only=False)
    if not np.isfinite(values).all():
        raise BolidError(f"{path}: {name} holds values that are not finite.")
    arrays = iter(values.reshape(-1, *shape).copy())
    return [next(arrays) if ok else None for ok in valid]


def _phrases(path: Path, table: pa.Table) -> list[list[Phrase]]:
    captions = table["caption"].to_pylist() if "caption" in table.column_names else [None] * len(table)
    pieces = table["phrases"].to_pylist() if "phrases" in table.column_names else [None] * len(table)
    phrases = []
    for caption, row in zip(captions, pieces, strict=True):
        found = [Phrase(str(p["kind"]), str(p["text"])) for p in row or ()]
        if not found and caption:
            found = [Phrase("text", caption)]
        if any(p.kind not in PHRASE_KINDS for p in found):
            raise BolidError(f"{path}: unknown kind of phrase in {found}; the kinds are {', '.join(PHRASE_KINDS)}.")
        phrases.append(found)
    return phrases


def _to_record(path: Path, row: dict[str, object], split: str | None) -> ImageRecord:
    empty = [c for c in _REQUIRED if row[c] is None]
    if empty:
        raise BolidError(f"{path}: a row of {row['file_name']!r} has no {', '.join(empty)}.")
    check_relative(str(row["file_name"]), str(path))
    defaults = {c: "" for c in _STRINGS if c != "silhouette"} | {"renderer": 0}
    row = row | {c: row.get(c) or default for c, default in defaults.items()}
    row["attributes"] = {a["name"]: a["value"] for a in row.get("attributes") or ()}  # type: ignore[attr-defined]
    if row.get("proportions") is not None:
        row["proportions"] = np.array(row["proportions"], np.float32)
    record = ImageRecord(**row)  # type: ignore[arg-type]
    return record if split is None else replace(record, file_name=f"{split}/{record.file_name}")
