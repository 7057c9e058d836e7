"""Somebody who is to be forgotten leaves the journal, and is not collected again."""

from __future__ import annotations

import json
from pathlib import Path

from bolid.core.safe_io import write_text
from bolid.data.collect.journal import JOURNAL, PEOPLE, Journal, digest


def forget(folder: Path, identity: str) -> int:
    """Removes somebody's lines, and has later runs leave the person out; photos are not touched.

    What stays is a hash of the gallery's address (or the name in a list), by which the person is known again.

    Args:
        folder: Where photos were collected; one without a journal is left as it is.
        identity: Name of the person's folder.

    Returns:
        How many lines were removed.
    """
    if not (folder / JOURNAL).is_file():
        return 0
    journal = Journal(folder)
    try:
        gone = [found for found in journal.people.found if found.get("identity") == identity]
        people = [found for found in journal.people.found if found not in gone]
        people += [{"forgotten": digest(str(found.get("person")))} for found in gone]
        left = [found for found in journal.lines.found if found.get("identity") != identity]
        for name, lines in ((PEOPLE, people), (JOURNAL, left)):
            write_text(folder / name, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        return len(journal.lines.found) - len(left)
    finally:
        journal.close()
