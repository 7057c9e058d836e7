"""Removes a person from the journal, and excludes them from later collection."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from bolid.core.safe_io import write_text
from bolid.data.collect.journal import JOURNAL, PEOPLE, Lines, digest


def forget(folder: Path, identity: str, really: bool = True) -> int:
    """Removes a person's lines, and excludes the person from later runs; photos are not touched.

    Only a hash of the gallery's address (or of the name in a list) is kept, to recognise the person. Lines
    that cannot be read are kept.

    Args:
        folder: Folder of collected photos; unchanged if it has no journal.
        identity: Name of the person's folder.
        really: Whether to remove the lines, and not only to count them.

    Returns:
        The number of the person's lines in the journal.

    Raises:
        BolidError: If a run is collecting there.
    """
    paths = [path for path in (folder / JOURNAL, folder / PEOPLE) if path.is_file()]
    with ExitStack() as stack:
        for path in paths if really else ():
            lines = stack.enter_context(closing(Lines(path)))
            lines.lock()
        counts = {path.name: _take_out(path, identity, really) for path in paths}
    return counts.get(JOURNAL, 0)


def _take_out(path: Path, identity: str, really: bool) -> int:
    lines = path.read_text("utf-8", errors="replace").splitlines()
    theirs = [line for line in lines if _is_of(_parsed(line), identity)]
    if really and theirs:
        people = {str(found["person"]) for found in map(_parsed, theirs) if "person" in found}
        left = [line for line in lines if line not in theirs]
        left += [json.dumps({"forgotten": digest(person)}) for person in sorted(people)]
        write_text(path, "".join(f"{line}\n" for line in left))
    return len(theirs)


def _is_of(found: dict[str, Any], identity: str) -> bool:
    return identity in (found.get("identity"), *Path(str(found.get("file_name", ""))).parts[:-1][-1:])


def _parsed(line: str) -> dict[str, Any]:
    """A line's object; empty if it holds none."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
