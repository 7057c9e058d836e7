"""The journal `collected.jsonl`: one line per photo, from which an interrupted run resumes."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from io import BufferedRandom
from pathlib import Path
from typing import Any

from bolid.core.errors import BolidError
from bolid.core.safe_io import check_relative

JOURNAL = "collected.jsonl"
PEOPLE = ".collected/people.jsonl"  # folder names of people
KEPT = "kept"
OPEN = ("failed", "refused")  # statuses that a later run tries again
LEFT = re.compile(r"\.[0-9a-f]{20}\.[0-9a-f]{8}\.tmp\.\w+")  # temporary files of a killed run


@dataclass(frozen=True)
class Row:
    """A line of the journal.

    Attributes:
        identity: Name of the person's folder.
        address: Address of the full image.
        page: Page of the image.
        status: `kept`, or a reason with its value, as in `small: 640x480 < 1000`; the word before the colon is one of
            duplicate, small, noai (the site's own tag), wrong (no usable image), large, and of refused (robots.txt,
            private address) and failed, which a later run tries again.
        time: When it was decided, in UTC, as ISO 8601.
        file_name: Name of the photo in the folder; empty if not kept.
        sha256: SHA-256 of its bytes, in hexadecimal; empty if none were read.
        bytes: Size in bytes.
        size: Width and height in pixels by its page or its header.
        licence: Note on its licence.
    """

    identity: str
    address: str
    page: str
    status: str
    time: str
    file_name: str = ""
    sha256: str = ""
    bytes: int = 0
    size: tuple[int, int] | None = None
    licence: str = ""

    @property
    def kind(self) -> str:
        """The first word of the status."""
        return self.status.partition(":")[0]


class Lines:
    """An append-only file of JSON lines; an incomplete last line is dropped on opening.

    Args:
        path: The file; without it (`None`), lines are kept in memory alone.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.file: BufferedRandom | None = None
        self.found: list[dict[str, Any]] = []

    def open(self, write: bool) -> Lines:
        """Reads the file, and locks it for writing if requested.

        Raises:
            BolidError: If a line cannot be read, or another process writes the file.
        """
        assert self.path is not None
        if write:
            self.lock()
        content = self.path.read_bytes() if self.path.is_file() else b""
        whole = content[: content.rfind(b"\n") + 1]
        self.found = [self._parsed(number, line) for number, line in enumerate(whole.splitlines(), 1)]
        if self.file and len(whole) < len(content):
            self.file.truncate(len(whole))
        return self

    def lock(self) -> None:
        """Locks the file until it is closed.

        Raises:
            BolidError: If another process writes it.
        """
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a+b")  # noqa: SIM115, the lock lives as long as it
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BolidError(f"{self.path}: another `bolid data collect` writes there; wait for it to end") from error

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BolidError(f"{self.path}, line {number}: not JSON; mend or remove the line") from error
        if not isinstance(row, dict):
            raise BolidError(f"{self.path}, line {number}: not an object; mend or remove the line")
        return row

    def add(self, row: dict[str, Any]) -> None:
        """Appends a line and syncs it to the disk."""
        if self.file:
            self.file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Releases the lock."""
        if self.file:
            self.file.close()


class Journal:
    """The rows by address and page; the last one of a photo is valid.

    Args:
        folder: Folder of the photos.
        write: Whether rows are written; else they are read alone, for a dry run.
        min_size: Least length of the shortest side in pixels: photos that were smaller than an earlier, larger one are
            tried again.
    """

    def __init__(self, folder: Path, write: bool = True, min_size: int = 0):
        self.folder, self.min_size, self.new = folder, min_size, Counter[str]()
        self.rows: dict[str, Row] = {}
        self.by_hash: dict[str, Row] = {}
        self.kept: Counter[str] = Counter()
        self.folders: dict[str, str] = {}  # a person's address, or name in a list, by the folder's name without case
        self.lines = Lines(folder / JOURNAL).open(write)
        self.people = Lines(folder / PEOPLE).open(write)
        for number, row in enumerate(self.lines.found, 1):
            self._take(self._row(number, row))
        self.forgotten = {str(found["forgotten"]) for found in self.people.found if "forgotten" in found}
        for found in (found for found in self.people.found if "identity" in found):
            self.folders[str(found.get("identity")).casefold()] = str(found.get("person"))
        if write:
            self._clean()

    def _row(self, number: int, found: dict[str, Any]) -> Row:
        where = f"{self.folder / JOURNAL}, line {number}"
        values = {f.name: found[f.name] for f in fields(Row) if f.name in found}
        try:
            row = Row(**values)
            row = Row(**(values | {"size": row.size and (int(row.size[0]), int(row.size[1]))}))
        except (TypeError, ValueError, IndexError) as error:
            raise BolidError(f"{where}: not a row of this file ({error}); mend or remove the line") from error
        if not all(isinstance(getattr(row, f.name), str) for f in fields(Row) if f.name not in ("bytes", "size")):
            raise BolidError(f"{where}: a value is not text; mend or remove the line")
        for name in filter(None, (row.identity, row.file_name)):
            check_relative(name, where)
        return row

    def _take(self, row: Row) -> None:
        for key in filter(None, (row.address, row.page)):
            if self.rows.get(key) is None or self.rows[key].status != KEPT:  # a page may have several photos
                self.rows[key] = row
        if row.status == KEPT and row.sha256 not in self.by_hash:
            self.by_hash[row.sha256] = row
            self.kept[row.identity] += 1

    def _clean(self) -> None:
        """Removes temporary files of a killed run from people's folders."""
        known = {str(found["identity"]) for found in self.people.found if "identity" in found}
        for identity in known | {row.identity for row in self.rows.values()}:
            folder = self.folder / check_relative(identity, str(self.folder))
            for name in os.listdir(folder) if folder.is_dir() else ():
                if LEFT.fullmatch(name):
                    (folder / name).unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Writes a row, unless it equals the photo's last one."""
        last = self.rows.get(row.address or row.page)
        if last is None or (last.status, last.identity) != (row.status, row.identity):
            self.lines.add(asdict(row))
        self.new[row.kind] += 1
        self._take(row)

    def decided(self, key: str) -> bool:
        """Whether a photo's address or page is already decided."""
        row = self.rows.get(key)
        if row is None or row.kind in OPEN:
            return False
        return not (row.kind == "small" and row.size and min(row.size) >= self.min_size)

    def folder_of(self, name: str, person: str) -> str:
        """A folder name for a person, stable across runs, and unique for people of one name.

        Args:
            name: A clean name.
            person: The gallery's address, which distinguishes people of one name.
        """
        mark = digest(person)[:6]
        for choice in (name, f"{name}-{mark}"):
            owner = self.folders.get(choice.casefold())
            if owner is None:
                self.people.add({"identity": choice, "person": person})
                self.folders[choice.casefold()] = person
            if owner in (None, person):
                return choice
        raise BolidError(f"{self.folder}: two people would share the folder {name}-{mark}; rename one in the list")

    def is_forgotten(self, person: str) -> bool:
        """Whether `forget` removed a person: a gallery's address, or a name in a list."""
        return digest(person) in self.forgotten

    def kept_rows(self) -> Iterator[Row]:
        """One row per kept photo."""
        return iter(self.by_hash.values())

    def gone(self) -> int:
        """The number of kept photos that are missing in the folder."""
        return sum(not (self.folder / row.file_name).is_file() for row in self.kept_rows())

    def close(self) -> None:
        """Releases the locks."""
        self.lines.close()
        self.people.close()


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return sha256(text.encode("utf-8", "replace")).hexdigest()
