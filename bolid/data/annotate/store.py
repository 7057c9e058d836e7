"""A database of findings by the photos' hashes, stored in the folder; committed rows survive any interruption."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bolid.core.errors import BolidError

FOLDER = ".annotations"
FILE = "annotations.sqlite"
VERSION = 1
MASKS = ".masks"  # the folder of silhouettes, which is not scanned for photos
MASK = re.compile(r"\.masks/[0-9a-f]{2}/[0-9a-f]{40}-[0-9a-f]{8}\.png")
_PAGE = 512  # rows held at a time
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, person TEXT, stamp TEXT, sha TEXT, run INTEGER, before TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_sha ON files (sha);
CREATE TABLE IF NOT EXISTS findings (
    sha TEXT, model TEXT, kind TEXT, why TEXT, keypoints BLOB, box BLOB, face BLOB, mask TEXT,
    PRIMARY KEY (sha, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS captions (sha TEXT, model TEXT, text TEXT, PRIMARY KEY (sha, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known (
    name TEXT, source TEXT, sha TEXT, value TEXT, PRIMARY KEY (name, source)) WITHOUT ROWID;
"""


class Finding(NamedTuple):
    """The networks' findings of one photo.

    Attributes:
        kind: Short reason for leaving it out; empty if it is kept.
        why: The same in a sentence.
        keypoints: (17, 3) float32, and `box` (4,).
        face: (F,) float32, or None.
        mask: Path of the silhouette relative to the folder, or None.
    """

    kind: str
    why: str = ""
    keypoints: np.ndarray | None = None
    box: np.ndarray | None = None
    face: np.ndarray | None = None
    mask: str | None = None


class Photo(NamedTuple):
    """A photo of this run, the name of its person's folder, and its hash."""

    name: str
    person: str
    sha: str


class Store:
    """The database of a folder, written by one process.

    Args:
        folder: Gets `.annotations/annotations.sqlite`.

    Raises:
        BolidError: If the file there cannot be read or written, or is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / FOLDER / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.base = sqlite3.connect(self.path, timeout=30)
            self.base.execute("PRAGMA trusted_schema = OFF")  # the file is untrusted, as is the folder
            version = self.base.execute("PRAGMA user_version").fetchone()[0]
            self.base.execute("PRAGMA journal_mode = WAL")
            self.base.execute("PRAGMA synchronous = NORMAL")
            self.base.executescript(_TABLES)
            self.base.execute(f"PRAGMA user_version = {VERSION}")
            row = self.base.execute("SELECT coalesce(max(run), 0) + 1 FROM files").fetchone()
        except sqlite3.Error as error:
            raise BolidError(
                f"{self.path}: cannot be used ({error}); delete it, the photos are annotated anew"
            ) from error
        if version not in (0, VERSION):
            raise BolidError(
                f"{self.path}: of version {version}, this BoLID writes {VERSION}: update BoLID or delete it"
            )
        self.run = int(row[0])

    def close(self) -> None:
        """Closes the file."""
        self.base.close()

    def known_hash(self, name: str, stamp: str) -> str | None:
        """The hash of a file that has not been touched since an earlier run."""
        row = self.base.execute("SELECT sha FROM files WHERE name = ? AND stamp = ?", (name, stamp)).fetchone()
        return row[0] if row else None

    def add_file(self, name: str, person: str, stamp: str, sha: str) -> None:
        """Notes a photo of this run."""
        self.base.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, '') ON CONFLICT (name) DO UPDATE SET before = "
            "CASE WHEN sha = excluded.sha THEN '' ELSE sha END, "
            "person = excluded.person, stamp = excluded.stamp, sha = excluded.sha, run = excluded.run",
            (name, person, stamp, sha, self.run),
        )

    def commit(self) -> None:
        """Commits the changes."""
        self.base.commit()

    def photos(self) -> Iterator[Photo]:
        """The photos of this run by name; the store may be written to meanwhile."""
        yield from self._pages("", ())

    def waiting(self, model: str, table: str = "findings") -> Iterator[Photo]:
        """One photo of each content without a finding of a model, by name."""
        nothing = f"AND NOT EXISTS (SELECT 1 FROM {table} t WHERE t.sha = f.sha AND t.model = ?) "
        first = "AND NOT EXISTS (SELECT 1 FROM files g WHERE g.sha = f.sha AND g.run = f.run AND g.name < f.name) "
        yield from self._pages(nothing + first, (model,))

    def _pages(self, condition: str, values: tuple[str, ...]) -> Iterator[Photo]:
        query = (
            f"SELECT name, person, sha FROM files f WHERE run = ? AND name > ? {condition}ORDER BY name LIMIT {_PAGE}"
        )
        last = ""
        while page := self.base.execute(query, (self.run, last, *values)).fetchall():
            yield from (Photo(*row) for row in page)
            last = page[-1][0]

    def count(self) -> int:
        """The number of photos of this run."""
        return self.base.execute("SELECT count(*) FROM files WHERE run = ?", (self.run,)).fetchone()[0]

    def prune(self) -> list[str]:
        """Removes what is known of photos that are gone; returns the paths of their silhouettes."""
        gone = "sha NOT IN (SELECT sha FROM files WHERE run = ?)"
        masks = f"SELECT mask FROM findings WHERE mask IS NOT NULL AND {gone}"
        found = [row[0] for row in self.base.execute(masks, (self.run,))]
        for table in ("findings", "captions"):
            self.base.execute(f"DELETE FROM {table} WHERE {gone}", (self.run,))
        self.base.execute("DELETE FROM files WHERE run != ?", (self.run,))
        self.commit()
        return [mask for mask in found if MASK.fullmatch(str(mask))]

    def changed(self) -> Iterator[str]:
        """Photos whose content has changed since the last run, or since the manifest was written."""
        query = (
            "SELECT f.name FROM files f LEFT JOIN known k ON k.name = f.name AND k.source = 'manifest' "
            "WHERE f.run = ? AND (f.before != '' OR (k.sha != '' AND k.sha != f.sha)) ORDER BY 1"
        )
        yield from (row[0] for row in self.base.execute(query, (self.run,)))

    def copies(self) -> Iterator[tuple[str, list[Photo]]]:
        """Duplicate contents: hash -> all photos."""
        query = "SELECT sha FROM files WHERE run = ? GROUP BY sha HAVING count(*) > 1"
        for (sha,) in self.base.execute(query, (self.run,)).fetchall():
            rows = self.base.execute(
                "SELECT name, person, sha FROM files WHERE run = ? AND sha = ? ORDER BY name", (self.run, sha)
            )
            yield sha, [Photo(*row) for row in rows]

    def people(self) -> int:
        """The number of people in this run."""
        return self.base.execute("SELECT count(DISTINCT person) FROM files WHERE run = ?", (self.run,)).fetchone()[0]

    def moved(self) -> list[str]:
        """Contents that were another person's in the run before."""
        query = (
            "SELECT DISTINCT f.sha FROM files f JOIN files g ON g.sha = f.sha "
            "WHERE f.run = ? AND g.run != f.run AND g.person != f.person"
        )
        return [row[0] for row in self.base.execute(query, (self.run,))]

    def add(self, sha: str, model: str, finding: Finding) -> None:
        """Writes a model's finding of a content; `commit` saves it."""
        arrays = [None if a is None else np.asarray(a, "<f4").tobytes() for a in finding[2:5]]
        row = (sha, model, finding.kind, finding.why, *arrays, finding.mask)
        self.base.execute("INSERT OR REPLACE INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def finding(self, sha: str, model: str) -> Finding | None:
        """A model's finding of a content."""
        query = "SELECT kind, why, keypoints, box, face, mask FROM findings WHERE sha = ? AND model = ?"
        row = self.base.execute(query, (sha, model)).fetchone()
        if row is None:
            return None
        return _finding(*row)

    def forget(self, sha: str, model: str) -> None:
        """Removes a finding."""
        self.base.execute("DELETE FROM findings WHERE sha = ? AND model = ?", (sha, model))

    def add_caption(self, sha: str, model: str, text: str) -> None:
        """Writes a caption model's caption of a content."""
        self.base.execute("INSERT OR REPLACE INTO captions VALUES (?, ?, ?)", (sha, model, text))

    def caption(self, sha: str, model: str) -> str | None:
        """A caption model's caption of a content."""
        row = self.base.execute("SELECT text FROM captions WHERE sha = ? AND model = ?", (sha, model)).fetchone()
        return row[0] if row else None

    def know(self, source: str, rows: Iterable[tuple[str, str, object]]) -> None:
        """Replaces a source's values of files: (name, hash or nothing, JSON value)."""
        self.base.execute("DELETE FROM known WHERE source = ?", (source,))
        texts = ((name, source, sha, json.dumps(value)) for name, sha, value in rows)
        self.base.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?)", texts)
        self.commit()

    def known(self, source: str, name: str) -> tuple[str, dict] | None:
        """The hash and the value that a source gives a file."""
        query = "SELECT sha, value FROM known WHERE name = ? AND source = ?"
        row = self.base.execute(query, (name, source)).fetchone()
        return (row[0], json.loads(row[1])) if row else None

    def unused(self, source: str) -> Sequence[str]:
        """Names that a source has something to say of and that are no photos of this run."""
        query = (
            "SELECT name FROM known k WHERE source = ? AND NOT EXISTS "
            "(SELECT 1 FROM files f WHERE f.name = k.name AND f.run = ?) AND NOT EXISTS "
            "(SELECT 1 FROM known c WHERE c.name = k.name AND c.source = 'curation') ORDER BY 1 LIMIT 100"
        )
        return [row[0] for row in self.base.execute(query, (source, self.run))]


def _finding(kind: str, why: str, points: bytes, box: bytes, face: bytes | None, mask: str | None) -> Finding | None:
    """The finding of a row; None if the row is invalid."""
    try:
        arrays = [None if blob is None else np.frombuffer(blob, "<f4").copy() for blob in (points, box, face)]
    except (ValueError, TypeError):
        return None
    sound = all(array is None or np.isfinite(array).all() for array in arrays)
    if kind:
        return Finding(str(kind), str(why))
    if not sound or arrays[0] is None or arrays[1] is None or arrays[0].size != 51 or arrays[1].size != 4:
        return None
    if mask is not None and not MASK.fullmatch(str(mask)):
        return None
    return Finding("", "", arrays[0].reshape(17, 3), arrays[1], arrays[2], mask)


def stamp_of(path: Path) -> str:
    """A stamp that changes when the file is written: size, mtime, ctime and inode."""
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
