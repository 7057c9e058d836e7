"""Face embeddings of a folder's photos, computed once and stored in its manifest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bolid.core.safe_io import PictureError, open_picture, resolve_inside
from bolid.core.schema import ImageRecord
from bolid.data.manifest import write_manifest
from bolid.vision.face import Embedder

_SAVE_EVERY = 4000  # photos between saves


def embed_faces(
    records: Sequence[ImageRecord], folder: Path, load: Callable[[], Embedder], fingerprint: str | None = None
) -> list[ImageRecord]:
    """Embeds the faces of photos that are new to this recogniser, and writes the manifest.

    A record's `face_model` is the last recogniser that processed it, with or without a face.

    Args:
        records: The folder's whole manifest.
        folder: Their top folder.
        load: Makes the embedder; not called if there is nothing to do and `fingerprint` is given.
        fingerprint: The embedder's, where it is known without loading it.

    Returns:
        The records with embeddings, in the same order.
    """
    records = list(records)
    if fingerprint is not None and all(r.face_model == fingerprint for r in records):
        return records
    embedder = load()
    todo = [k for k, r in enumerate(records) if r.face_model != embedder.fingerprint]
    from tqdm import tqdm

    for count, k in enumerate(tqdm(todo, f"faces of {folder.name}", unit="photo", disable=len(todo) < 20), start=1):
        records[k] = _embed(records[k], folder, embedder)
        if count % _SAVE_EVERY == 0 or count == len(todo):
            write_manifest(folder, records)
    return records


def _embed(record: ImageRecord, folder: Path, embedder: Embedder) -> ImageRecord:
    try:
        picture = open_picture(resolve_inside(folder, record.file_name))
    except PictureError:
        embedding = None  # the data set skips it too, and says why
    else:
        embedding = embedder.embed(np.asarray(picture), record.keypoints)
    return replace(record, face_embedding=embedding, face_model=embedder.fingerprint)
