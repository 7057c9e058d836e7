"""A plain list of addresses per person: text and CSV with PERSON,ADDRESS lines, or JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.data.collect.pages import Candidate

SUFFIXES = (".csv", ".txt", ".jsonl")
COLUMNS = ("person", "address", "licence", "page")


def read_list(path: Path) -> dict[str, list[Candidate]]:
    """Reads the photos of each person; people and photos keep the order of the file.

    A text or CSV file has a line PERSON,ADDRESS for each photo, and further columns if its first line names them:
    person, address, licence, page. A JSONL file has an object with these names on each line. Empty lines and lines that
    begin with # are left out.

    Raises:
        BolidError: If a line has no person or address; the message has its number.
    """
    people: dict[str, list[Candidate]] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = _objects(path, file) if path.suffix.lower() == ".jsonl" else _rows(path, file)
            for number, row in lines:
                person, address = (" ".join(str(row.get(name) or "").split()) for name in ("person", "address"))
                if not person or not address.startswith(("http://", "https://")):
                    raise BolidError(
                        f"{path}, line {number}: expected PERSON,ADDRESS with an http:// or https:// address"
                    )
                candidate = Candidate(address, str(row.get("page") or ""), licence=str(row.get("licence") or ""))
                people.setdefault(person, []).append(candidate)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BolidError(f"{path}: not a list of addresses in UTF-8 ({error})") from error
    if not people:
        raise BolidError(f"{path}: holds no address; write lines PERSON,ADDRESS")
    return people


def _rows(path: Path, file: Iterator[str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(line if not line.lstrip().startswith("#") else "\n" for line in file)
    names = list(COLUMNS[:2])
    for number, cells in enumerate(reader, 1):
        cells = [cell.strip() for cell in cells]
        lowered = [cell.lower() for cell in cells]
        if "person" in lowered and "address" in lowered:
            if unknown := set(lowered) - set(COLUMNS):
                raise BolidError(
                    f"{path}: no column is called {', '.join(sorted(unknown))}; there are {', '.join(COLUMNS)}"
                )
            names = lowered
        elif any(cells):
            yield number, dict(zip(names, cells, strict=False))


def _objects(path: Path, file: Iterator[str]) -> Iterator[tuple[int, dict[str, str]]]:
    for number, line in enumerate(file, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BolidError(f"{path}, line {number}: not JSON ({error})") from error
        if not isinstance(row, dict) or set(row) - set(COLUMNS):
            raise BolidError(f"{path}, line {number}: expected an object with {', '.join(COLUMNS)} and nothing else")
        yield number, row
