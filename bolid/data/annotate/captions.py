"""Reads the users' captions of photos: `.txt`, `.caption`, `metadata.jsonl` and `metadata.csv`."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from bolid.core.errors import BolidError
from bolid.core.safe_io import resolve_inside
from bolid.data.annotate.listing import CAPTIONS

MAX_CAPTION = 2000  # characters; text encoders read far less
MAX_TABLE = 1 << 30  # bytes of a metadata file
_COLUMNS = ("caption", "text", "prompt", "description")
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
)
_MARKS += ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def encoding_of(data: bytes) -> str:
    """The encoding of a text: by its byte order mark, or by what decodes it.

    Args:
        data: The text, or its beginning, at most some bytes short of a character's end.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    if len(data) >= 4 and not len(data) % 2 and 2 * data.count(0) >= len(data) - 2:  # UTF-16 without a mark
        return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return "cp1252" if not set(data) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "latin-1"
    return "utf-8"


def clean(text: str) -> str:
    """One line without control, format, unassigned and surrogate characters, of at most `MAX_CAPTION` characters."""
    kept = (
        c if unicodedata.category(c) not in ("Cc", "Cs", "Cn", "Co", "Cf") or c in "\u200d\u200c" else " " for c in text
    )
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))[:MAX_CAPTION].strip()


def caption_beside(folder: Path, name: str) -> str | None:
    """The caption in a text file of the photo's name; None if there is none or it is empty.

    Raises:
        BolidError: If the file cannot be read or leads outside the folder.
    """
    stem = str(PurePosixPath(name).with_suffix(""))
    for path in (*(stem + suffix for suffix in CAPTIONS), *(name + suffix for suffix in CAPTIONS)):
        if os.path.lexists(folder / path):
            found = resolve_inside(folder, path)
            try:
                if not found.is_file():
                    raise BolidError(f"{folder / path}: no caption file.")
                with open(found, "rb") as file:
                    data = file.read(8 * MAX_CAPTION)
            except OSError as error:
                raise BolidError(f"{folder / path}: cannot be read ({error}).") from error
            if text := clean(data.decode(encoding_of(data), errors="ignore")):
                return text
    return None


def table_rows(folder: Path, path: Path) -> Iterator[tuple[str, str]]:
    """File names, relative to `folder`, and captions of a `metadata.jsonl` or `metadata.csv`; bad rows are passed over.

    Raises:
        BolidError: If the file cannot be read.
    """
    place = path.parent.relative_to(folder).as_posix()
    try:
        if path.stat().st_size > MAX_TABLE:
            raise BolidError(f"{path}: over the limit of {MAX_TABLE >> 20} MiB.")
        with open(path, "rb") as file:
            encoding = encoding_of(file.read(1 << 16))
        with open(path, encoding=encoding, errors="replace", newline="") as text:
            for row in _rows(text, path.suffix):
                if found := _caption_of(row):
                    yield (found[0] if place == "." else f"{place}/{found[0]}"), found[1]
    except (OSError, csv.Error) as error:
        raise BolidError(f"{path}: cannot be read ({error}).") from error


def _rows(text: io.TextIOBase, suffix: str) -> Iterator[dict]:
    if suffix == ".csv":
        yield from csv.DictReader(text)
        return
    while line := text.readline(1 << 20):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield row


def _caption_of(row: dict) -> tuple[str, str] | None:
    name = row.get("file_name")
    text = next((row[c] for c in _COLUMNS if isinstance(row.get(c), str) and row[c].strip()), None)
    if not isinstance(name, str) or text is None or not clean(text):
        return None
    return name.removeprefix("./"), clean(text)


def without_name(caption: str, person: str) -> str:
    """The caption with the person's name, or a part of it, replaced by "the person"; accents and cases are as one.

    Parts of one or two letters, which may be words, go beside other parts alone; not so in scripts without cases, such
    as Chinese, in which names may be that short and words have no borders.
    """
    person = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFC", person))  # AnnMiller
    parts = sorted({_folded(part) for part in re.split(r"[\W_\d]+", person) if part}, key=len, reverse=True)
    anything, long = _any(parts), _any(p for p in parts if len(p) > 2)
    anywhere = _any(p for p in parts if len(p) > 1 and p.upper() == p)
    looked_for = [
        rf"\b(?:{anything})(?:[\s_'-]+(?:{anything}))+\b" if parts else "",
        rf"\b(?:{long})\b" if long else "",
    ]
    pattern = "|".join(filter(None, [*looked_for, anywhere]))
    caption = unicodedata.normalize("NFC", caption)
    for found in reversed([*re.finditer(pattern, _folded(caption))] if pattern else []):
        caption = f"{caption[: found.start()]}the person{caption[found.end() :]}"
    return caption


def _any(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


def _folded(text: str) -> str:
    """As many letters, without accents and cases."""
    return "".join(unicodedata.normalize("NFD", letter)[0].lower()[:1] for letter in text)
