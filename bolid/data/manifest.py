"""The manifest: photos' records as Parquet, in the layout of HF datasets' `imagefolder`.

A photo below `train/`, `val/` or `test/` stands in that folder's `metadata.parquet`, `file_name` relative to it, so
that `load_dataset("imagefolder", data_dir=…)` finds the splits; every other photo stands in the top folder's. Paths of
silhouettes are relative to the top folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_path, check_relative
from bolid.core.schema import PHRASE_KINDS, SPLITS, PersonRecord, Phrase

MANIFEST = "metadata.parquet"
# Shapes of the columns that hold arrays; the nested lists of a row must have exactly these lengths.
_SHAPES = {
    "keypoints": (17, 3),
    "keypoints_canonical": (17, 3),
    "box": (4,),
    "face_box": (4,),
    "face_embedding": (512,),
}
_STRINGS = ("face_model", "silhouette", "source", "licence", "sha256")
_REQUIRED = ("file_name", "identity", "keypoints", "box")
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
    + [("renderer", pa.int32())]
)


def split_of(file_name: str) -> str | None:
    """The split that a photo's top folder names, or None if it names none."""
    top = PurePosixPath(file_name).parts[0]
    return top if top in SPLITS else None


def write_manifest(folder: Path, records: Sequence[PersonRecord]) -> None:
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
        rows = [_to_row(folder, r, split) for r in records if split_of(r.file_name) == split]
        if rows:
            with atomic_path(path) as temporary:
                pq.write_table(pa.Table.from_pylist(rows, SCHEMA), temporary)
        else:
            path.unlink(missing_ok=True)


def read_manifest(folder: Path) -> list[PersonRecord]:
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


def _check_unique(folder: Path, records: Sequence[PersonRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        check_relative(record.file_name, f"manifest of {folder}")
        if record.silhouette:
            check_relative(record.silhouette, f"manifest of {folder}")
        if record.file_name in seen:
            raise BolidError(f"manifest of {folder}: {record.file_name!r} stands there twice.")
        seen.add(record.file_name)


def _to_row(folder: Path, record: PersonRecord, split: str | None) -> dict[str, object]:
    name = record.file_name
    row: dict[str, object] = {
        "file_name": name if split is None else PurePosixPath(name).relative_to(split).as_posix(),
        "identity": record.identity,
        "caption": record.caption,
        "phrases": [{"kind": p.kind, "text": p.text} for p in record.phrases],
        "renderer": record.renderer,
    }
    for column, shape in _SHAPES.items():
        value = getattr(record, column)
        if value is not None and (np.shape(value) != shape or not np.isfinite(value).all()):
            raise BolidError(f"manifest of {folder}: {name!r} needs {column} of shape {shape} with finite values.")
        row[column] = None if value is None else np.asarray(value, np.float32).tolist()
    return row | {column: getattr(record, column) for column in _STRINGS}


def _read_table(path: Path, split: str | None) -> list[PersonRecord]:
    try:
        table = pq.read_table(path, partitioning=None)
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


def _column(path: Path, table: pa.Table, name: str) -> list:
    """One value per row; arrays go through flat buffers, since Python lists of 40,000 embeddings take seconds."""
    column = table[name]
    if name not in _SHAPES:
        return column.to_pylist()
    shape = _SHAPES[name]
    valid = column.is_valid().to_numpy()
    flat = column.combine_chunks()
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


def _to_record(path: Path, row: dict[str, object], split: str | None) -> PersonRecord:
    empty = [c for c in _REQUIRED if row[c] is None]
    if empty:
        raise BolidError(f"{path}: a row of {row['file_name']!r} has no {', '.join(empty)}.")
    check_relative(str(row["file_name"]), str(path))
    defaults = {c: "" for c in _STRINGS if c != "silhouette"} | {"renderer": 0}
    row = row | {c: row.get(c) or default for c, default in defaults.items()}
    record = PersonRecord(**row)  # type: ignore[arg-type]
    return record if split is None else replace(record, file_name=f"{split}/{record.file_name}")
