"""Filter of photos by their caption files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import resolve_inside
from bolid.data.curate.filters.base import KEPT, Filter
from bolid.data.curate.photos import Photos

SUFFIXES = (".txt", ".caption")
MOST = 4000  # bytes of a caption that are read


@dataclass
class Caption(Filter):
    """Checks the text file of a photo (PHOTO.txt or PHOTO.caption). `bolid data annotate` writes the rest.

    Attributes:
        words: Minimum number of words in a caption, if there is one; 0 for any.
        required: Whether to reject photos without a caption.
        names: Whether to reject captions with the person's name, which would be learned instead of the face.
    """

    words: int = 0
    required: bool = False
    names: bool = True
    name = "caption"

    def judge(self, photos: Photos, k: int) -> str:
        """Missing, too short, with a name, or good."""
        text = caption_of(photos.folder, photos.name(k))
        if text is None:
            return "no caption" if self.required else KEPT
        if (count := len(text.split())) < self.words:
            return f"short caption: {count} < {self.words} words"
        identity = photos.identity(k)
        if self.names and len(identity) > 2 and re.search(rf"\b{re.escape(spoken(identity))}\b", spoken(text)):
            return f"caption names {identity}"
        return KEPT


def spoken(text: str) -> str:
    """Lower case, with spaces instead of the separators in folder names."""
    return " ".join(re.sub(r"[_\-.]+", " ", text.lower()).split())


def caption_of(folder: Path, name: str) -> str | None:
    """The text of a photo's caption file; None if there is none."""
    for suffix in SUFFIXES:
        try:
            path = resolve_inside(folder, str(Path(name).with_suffix(suffix)))
            if path.is_file():
                with open(path, "rb") as file:
                    return decoded(file.read(MOST))
        except (BolidError, OSError):
            continue
    return None


def decoded(data: bytes) -> str:
    """Text in UTF-8 or, with a byte order mark, UTF-16."""
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return data.decode("utf-16" if wide else "utf-8-sig", errors="replace")
