"""`bolid data shard`: writes a folder's photos as WebDataset shards, a few large files instead of many small ones."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_folder, resolve_inside
from bolid.core.schema import ImageRecord
from bolid.data.cache import check_unchanged
from bolid.data.manifest import ManifestWriter, stream_manifest
from bolid.data.shards import MAX_BYTES, SHARD

log = logging.getLogger(__name__)
Files = list[tuple[str, bytes]]  # suffix and content


def shard(folder: Path, out: Path = Path("shards"), megabytes: int = 500) -> str:
    """Writes an annotated folder's photos, silhouettes and manifest as shards for `bolid fit`.

    Photos that curation rejected, that are missing or that changed since they were annotated are left out. The folder
    itself is not changed.

    Args:
        folder: Folder of the photos, with a manifest.
        out: New folder for shards and manifest.
        megabytes: Maximum size of a shard; a larger photo gets its own.

    Returns:
        One line with the numbers of photos and shards.

    Raises:
        BolidError: If there is nothing to write, or `out` exists.
    """
    folder, out = Path(folder), Path(out)
    if megabytes < 1:
        raise BolidError(f"megabytes={megabytes} must be 1 or more")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BolidError(f"{out} is there already: give another place, or remove it")
    with atomic_folder(out) as part:
        photos, left_out, shards = _write(folder, part, megabytes * 1_000_000)
        if not photos:
            raise BolidError(f"{folder}: none of its {left_out} photos can be used")
    return f"{photos} photos in {shards} shards in {out}; {left_out} left out"


def _write(folder: Path, out: Path, limit: int) -> tuple[int, int, int]:
    """The numbers of photos written, of photos left out, and of shards."""
    photos = left_out = 0
    with ManifestWriter(out) as writer, Shards(out, limit) as shards:
        for records in stream_manifest(folder):
            kept: list[ImageRecord] = []
            for record in records:
                if (files := _files(folder, record)) is None:
                    left_out += 1
                    continue
                shards.add(f"{photos + len(kept):09d}", files)
                kept.append(record)
            writer.write(kept)
            photos += len(kept)
    return photos, left_out, shards.count


def _files(folder: Path, record: ImageRecord) -> Files | None:
    """The files of a photo's sample; None if it is unusable."""
    if record.rejected:
        return None
    entry = {"file_name": record.file_name, "silhouette": record.silhouette, "identity": record.identity}
    files = [("json", json.dumps(entry | {"caption": record.caption}, ensure_ascii=False).encode())]
    try:
        check_unchanged(record, resolve_inside(folder, record.file_name))
        for name, kind in ((record.file_name, ""), (record.silhouette, "mask.")):
            if name:
                files.append((kind + _suffix(name), _content(folder, name)))
    except (BolidError, OSError) as error:
        log.warning("left out: %s", error)
        return None
    return files


def _content(folder: Path, name: str) -> bytes:
    path = resolve_inside(folder, name)
    if path.stat().st_size > MAX_BYTES:
        raise BolidError(f"{path}: has more than {MAX_BYTES / 1e6:.0f} MB")
    return path.read_bytes()


def _suffix(name: str) -> str:
    suffix = Path(name).suffix[1:].lower()
    return suffix if suffix.isalnum() and suffix.isascii() and len(suffix) < 8 and suffix != "json" else "img"


class Shards:
    """Writes numbered tar files up to a size limit.

    Args:
        folder: Output folder.
        limit: Maximum bytes per file.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit, self.count = folder, limit, 0
        self._tar: tarfile.TarFile | None = None
        self._open = ExitStack()

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def add(self, key: str, files: Files) -> None:
        """Adds a sample; all its files are in one shard."""
        entries = list(self._entries(key, files))
        size = sum(len(content) + 1024 for _, content in entries)
        if self._tar is None or self._tar.offset + size > self.limit:
            self._open.close()
            path = self.folder / SHARD.format(self.count)
            self._tar = self._open.enter_context(tarfile.TarFile(path, "w", format=tarfile.USTAR_FORMAT))
            self.count += 1
        for info, content in entries:
            self._tar.addfile(info, io.BytesIO(content))

    def _entries(self, key: str, files: Files) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
        for suffix, content in files:
            info = tarfile.TarInfo(f"{key}.{suffix}")
            info.size = len(content)
            yield info, content
