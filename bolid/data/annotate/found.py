"""Keypoints of a pose network in a folder's photos, computed once and stored in the folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.safe_io import PictureError, atomic_path, open_picture, resolve_inside
from bolid.core.schema import ImageRecord

FOUND = ".found"  # one table per network
_BATCH = 64
_SAVE_EVERY = 100  # batches between saves


class Found(Protocol):
    """Protocol of a pose network's output."""

    @property
    def keypoints(self) -> Tensor:
        """(B, 17, 3) in pixels of the images, confidence."""
        ...


class Finder(Protocol):
    """Protocol of `bolid.vision.pose.PoseEstimator`."""

    def estimate(self, pictures: Tensor) -> Found:
        """Looks at (B, 3, H, W) images in 0..1."""
        ...


def find_keypoints(
    records: Sequence[ImageRecord], folder: Path, load: Callable[[], Finder], fingerprint: str
) -> Mapping[str, np.ndarray]:
    """Runs the network on new photos.

    Args:
        records: The photos, all of one size.
        folder: Their top folder.
        load: Makes the network; not called if there is nothing to do.
        fingerprint: Fingerprint of the network, the name of its table.

    Returns:
        File name -> (17, 3) float32 in pixels of the photo, zeros if no person was found or the photo is unreadable.
    """
    table = found_table(folder, fingerprint)
    found = read_found(table)
    todo = [r for r in records if r.file_name not in found]
    if todo:
        from tqdm import tqdm

        network = load()
        with tqdm(total=len(todo), desc=f"poses of {folder.name}", unit="photo", disable=len(todo) < 20) as bar:
            for start in range(0, len(todo), _BATCH):
                batch = todo[start : start + _BATCH]
                found |= _find(batch, folder, network)
                bar.update(len(batch))
                if (start // _BATCH + 1) % _SAVE_EVERY == 0:
                    _write(table, found)
            _write(table, found)
    return found


def found_table(folder: Path, fingerprint: str) -> Path:
    """The path of a network's table."""
    return folder / FOUND / f"{fingerprint[:16]}.parquet"


def read_found(table: Path) -> dict[str, np.ndarray]:
    """The table of a network; empty if there is none.

    Raises:
        BolidError: If it cannot be read.
    """
    if not table.is_file():
        return {}
    try:
        rows = pq.read_table(table, columns=["file_name", "keypoints"])
        places = np.stack(rows["keypoints"].to_numpy()).astype(np.float32).reshape(-1, 17, 3)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BolidError(
            f"{table}: not a readable table of keypoints; delete it, it will be made anew ({error})"
        ) from error
    return dict(zip(rows["file_name"].to_pylist(), places, strict=True))


def _find(records: Sequence[ImageRecord], folder: Path, network: Finder) -> dict[str, np.ndarray]:
    found, pictures = {}, {}
    for record in records:
        try:
            pictures[record.file_name] = np.asarray(open_picture(resolve_inside(folder, record.file_name)))
        except PictureError:
            found[record.file_name] = np.zeros((17, 3), np.float32)  # the data set skips it, too, and says why
    if pictures:
        shown = torch.from_numpy(np.stack(list(pictures.values()))).permute(0, 3, 1, 2) / 255
        with torch.inference_mode():
            keypoints = network.estimate(shown).keypoints.float().cpu().numpy()
        found |= dict(zip(pictures, keypoints, strict=True))
    return found


def _write(table: Path, found: Mapping[str, np.ndarray]) -> None:
    table.parent.mkdir(exist_ok=True)
    columns = {"file_name": list(found), "keypoints": [points.flatten() for points in found.values()]}
    with atomic_path(table) as partial:
        pq.write_table(pa.table(columns), partial)
