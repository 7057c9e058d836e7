"""Tables of a folder of rendered people, from one file per finished person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bolid.core.safe_io import write_bytes
from bolid.core.schema import SPLITS, ImageRecord, Phrase

LICENCE = "CC0-1.0"
ROWS = ".rows"  # one file per finished person, so that an interrupted run loses at most one person
_ADDED = ("face_embedding", "face_model", "verdicts", "rejected")  # manifest fields written by other tools
SINCE = {"opposites": False, "companions": 0.0}  # defaults of options that older folders lack


def write_tables(folder: Path) -> None:
    """Writes the manifest (a row per photo) and `people.parquet` (a row per identity) from the finished rows.

    Face embeddings and verdicts added to the manifest are kept for unchanged photos.
    """
    import pyarrow
    from pyarrow import parquet

    from bolid.data.manifest import write_manifest

    finished = [json.loads(file.read_text()) for file in sorted((folder / ROWS).glob("*/p*.json"))]
    labels = _labels(folder)
    records = [record for person in finished for record in _records(person)]
    write_manifest(folder, [replace(r, **labels.get((r.file_name, r.sha256), {})) for r in records])
    people = {person["person"]["identity"]: person["person"] for person in finished}
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(list(people.values())), buffer)
    write_bytes(folder / "people.parquet", buffer.getvalue().to_pybytes())


def _labels(folder: Path) -> dict[tuple[str, str], dict]:
    """Manifest fields added by other tools."""
    from bolid.data.manifest import read_manifest

    if not any((folder / split / "metadata.parquet").exists() for split in SPLITS):
        return {}
    added = [r for r in read_manifest(folder) if r.face_model or r.verdicts]
    return {(r.file_name, r.sha256): {name: getattr(r, name) for name in _ADDED} for r in added}


def _records(finished: dict) -> Iterator[ImageRecord]:
    """The photos of a finished person, with all that is known of them."""
    import torch

    from bolid.synthetic.known import with_known
    from bolid.synthetic.measures import RATIOS, Body

    person, job = finished["person"], SINCE | finished["job"]
    bodies = {person["identity"]: Body(person["gender"], torch.tensor([person[name] for name in RATIOS]))}
    records = [_record(row, job["renderer"]) for row in finished["rows"]]
    yield from with_known(records, bodies, job["opposites"], job.get("families", 0))


def _record(row: dict, renderer: int) -> ImageRecord:
    face = row["face_box"]
    return ImageRecord(
        file_name=row["file_name"],
        identity=row["identity"],
        phrases=[Phrase(*p) for p in row["phrases"]],
        keypoints=np.array(row["keypoints"], np.float32),
        box=np.array(row["box"], np.float32),
        keypoints_canonical=np.array(row["keypoints_canonical"], np.float32),
        face_box=None if face is None else np.array(face, np.float32),
        silhouette=row["silhouette"],
        source="rendered",
        licence=LICENCE,
        sha256=row["sha256"],
        renderer=renderer,
    )
