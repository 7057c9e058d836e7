"""The summary of an annotation: counts of all files, and reasons for those left out."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bolid.core.safe_io import atomic_path

EXAMPLES = 3  # of each kind in the summary; the file lists all of them
_PEOPLE = 30  # that are named with their whole figures
LEFT_OUT = "left_out.jsonl"


@dataclass
class Summary:
    """Summary of an annotation.

    Attributes:
        kept: Photos of each person in the manifest.
        whole: Number of these with a whole figure.
        counts: Number of kept photos with a "face", "body", "caption", "silhouette".
        left_out: Number of files left out, by kind.
        examples: Some messages of each kind.
        notes: Sentences about the folder as a whole.
        faces_asked: Whether faces were looked for, and `silhouettes_asked`, silhouettes.
    """

    kept: Counter[str] = field(default_factory=Counter)
    whole: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)
    faces_asked: bool = True
    silhouettes_asked: bool = True

    @property
    def photos(self) -> int:
        """The number of kept photos."""
        return self.kept.total()

    def leave_out(self, kind: str, message: str) -> None:
        """Counts a file that is not in the manifest."""
        self.left_out[kind] += 1
        if len(self.examples[kind]) < EXAMPLES:
            self.examples[kind].append(message)

    def note(self, what: str, names: list[str], total: int | None = None) -> None:
        """Adds a sentence that names some files."""
        if names:
            total = total or len(names)
            more = f" and {total - EXAMPLES} more" if total > EXAMPLES else ""
            self.notes.append(f"{what}: {', '.join(names[:EXAMPLES])}{more}")

    def __str__(self) -> str:
        seen = self.photos + self.left_out.total()
        lines = [
            f"{self.photos} photos of {len(self.kept)} people kept, of {seen} files; {self.left_out.total()} left out"
        ]
        lines.append("  " + "; ".join(self._shares()))
        lines.append(f"  whole figures: {self._figures()}")
        for kind, count in self.left_out.most_common():
            some = "; ".join(self.examples[kind])
            lines.append(f"  left out, {kind}: {count} ({some}{'; …' if count > EXAMPLES else ''})")
        return "\n".join(lines + [f"  {note}" for note in self.notes])

    def _shares(self) -> list[str]:
        asked = {"face": self.faces_asked, "silhouette": self.silhouettes_asked, "body": True, "caption": True}
        words = []
        for what, looked in asked.items():
            with_it = self.counts[what]
            words.append(
                f"{with_it} with a {what}, {self.photos - with_it} without" if looked else f"no {what}s asked for"
            )
        return words

    def _figures(self) -> str:
        if len(self.kept) <= _PEOPLE:
            return ", ".join(f"{person} {self.whole[person]} of {count}" for person, count in sorted(self.kept.items()))
        numbers = sorted(self.whole[person] for person in self.kept)
        none = numbers.count(0)
        return f"{sum(numbers)} in all, {numbers[len(numbers) // 2]} a person in the median, none of {none} people"


class LeftOutList:
    """Every file that is not in the manifest, with the reason, in `.annotations/left_out.jsonl`.

    Args:
        path: The file, which is there when the block ends.
        summary: Counts them too.
    """

    def __init__(self, path: Path, summary: Summary) -> None:
        self._place = atomic_path(path)
        self.summary = summary

    def __enter__(self) -> LeftOutList:
        self._file = open(self._place.__enter__(), "w", encoding="utf-8", errors="backslashreplace")
        return self

    def add(self, name: str, kind: str, why: str) -> None:
        """Adds a file."""
        self.summary.leave_out(kind, why if name in why else f"{name!r}: {why}" if why else repr(name)[1:-1])
        self._file.write(json.dumps({"file_name": name, "kind": kind, "why": why}) + "\n")

    def __exit__(self, *error) -> None:
        self._file.close()
        self._place.__exit__(*error)
