"""Conversion between `ImageRecord` and rows of Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from bolid.core.errors import BolidError
from bolid.core.safe_io import check_relative, open_parquet
from bolid.core.schema import PHRASE_KINDS, ImageRecord, Phrase

# Version 1 lacks whole_figure, proportions, attributes, scene, group and family; 2 address, fetched, verdicts,
# rejected.
FORMAT = 3
_VERSION = b"bolid_manifest"
# Shapes of array columns; the nested lists of a row must have exactly these lengths, where 0 is any.
_SHAPES = {
    "keypoints": (17, 3),
    "keypoints_canonical": (17, 3),
    "box": (4,),
    "face_box": (4,),
    "face_embedding": (0,),
}
_STRINGS: tuple[str, ...] = ("face_model", "silhouette", "source", "licence", "address", "fetched", "sha256", "scene")
_STRINGS += ("group", "family", "rejected")
_PAIRS = ("attributes", "verdicts")
_REQUIRED = ("file_name", "identity", "keypoints", "box")
_PAIR = pa.struct([("name", pa.string()), ("value", pa.string())])
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
    + [(name, pa.list_(_PAIR)) for name in _PAIRS],
    metadata={_VERSION: str(FORMAT).encode()},
)


def to_table(folder: Path, records: Sequence[ImageRecord], split: str | None) -> pa.Table:
    """Records of one split as a table of `SCHEMA`, file names relative to the split's folder.

    Raises:
        BolidError: If an array has the wrong shape or holds values that are not finite.
    """
    names = [r.file_name if split is None else r.file_name.removeprefix(f"{split}/") for r in records]
    columns: dict[str, object] = {
        "file_name": names,
        "identity": [r.identity for r in records],
        "caption": [r.caption for r in records],
        "phrases": [[p._asdict() for p in r.phrases] for r in records],
        "renderer": [r.renderer for r in records],
    }
    columns |= {name: [getattr(r, name) for r in records] for name in (*_STRINGS, "whole_figure", "proportions")}
    for name in _PAIRS:
        columns[name] = [[{"name": k, "value": v} for k, v in getattr(r, name).items()] for r in records]
    columns |= {name: _to_lists(folder, records, name) for name in _SHAPES}
    return pa.table([pa.array(columns[f.name], f.type) for f in SCHEMA], schema=SCHEMA)


def _to_lists(folder: Path, records: Sequence[ImageRecord], name: str) -> pa.Array:
    """A column of nested lists from one flat buffer: Python lists of 40,000 embeddings take seconds."""
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


def read_tables(path: Path, split: str | None, rows: int) -> Iterator[list[ImageRecord]]:
    """Yields the records of a manifest's file, at most `rows` at a time.

    Raises:
        BolidError: If the file is no manifest or of a newer format, or a row is malformed or points outside the folder.
    """
    try:
        with open_parquet(path) as file:
            _check_version(path, file.schema_arrow.metadata or {})
            present = file.schema_arrow.names
            if missing := [c for c in _REQUIRED if c not in present]:
                raise BolidError(f"{path}: the column(s) {', '.join(missing)} are missing.")
            wanted = [c for c in SCHEMA.names if c in present]
            target = pa.schema([SCHEMA.field(c) for c in wanted])
            for batch in file.iter_batches(rows, columns=wanted):
                yield _to_records(path, pa.table(batch).select(wanted).cast(target), split)
    except (pa.ArrowException, OSError) as error:
        raise BolidError(f"{path}: not a readable manifest ({error}).") from error


def _to_records(path: Path, table: pa.Table, split: str | None) -> list[ImageRecord]:
    columns = {c: _column(path, table, c) for c in table.column_names if c not in ("caption", "phrases")}
    columns["phrases"] = _phrases(path, table)
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [_to_record(path, row, split) for row in rows]


def _check_version(path: Path, metadata: Mapping[bytes, bytes]) -> None:
    found = metadata.get(_VERSION, b"1").decode(errors="replace")
    if not found.isdecimal() or not 1 <= int(found) <= FORMAT:
        raise BolidError(
            f"{path}: a manifest of format {found[:20]!r}, and this version of BoLID reads 1 to {FORMAT}: "
            "update BoLID, or annotate the folder anew."
        )


def _shape(name: str, lengths: Iterable[int]) -> tuple[int, ...]:
    """A column's shape; a free length is that of the first row, which the others must match."""
    return tuple(length or max(1, next(iter(lengths), 1)) for length in _SHAPES[name])


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


def _pairs(path: Path, name: str, pairs: list[dict[str, str | None] | None]) -> dict[str, str]:
    found = {p["name"]: p["value"] for p in pairs if p and p["name"] and p["value"] is not None}
    if len(found) < len(pairs):
        raise BolidError(f"{path}: {name} {pairs} need names, each once, and values.")
    return found  # type: ignore[return-value]


def _to_record(path: Path, row: dict[str, object], split: str | None) -> ImageRecord:
    empty = [c for c in _REQUIRED if row[c] is None]
    if empty:
        raise BolidError(f"{path}: a row of {row['file_name']!r} has no {', '.join(empty)}.")
    check_relative(str(row["file_name"]), str(path))
    defaults = {c: "" for c in _STRINGS if c != "silhouette"} | {"renderer": 0}
    row = row | {c: row.get(c) or default for c, default in defaults.items()}
    row |= {c: _pairs(path, c, row.get(c) or []) for c in _PAIRS}  # type: ignore[arg-type]
    if row.get("proportions") is not None:
        row["proportions"] = np.array(row["proportions"], np.float32)
    record = ImageRecord(**row)  # type: ignore[arg-type]
    return record if split is None else replace(record, file_name=f"{split}/{record.file_name}")
