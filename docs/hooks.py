"""What mkdocs fills into pages: files of the repository's root, and the table of commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
INCLUDE = re.compile(r"<!-- include ([\w./-]+) -->")
COMMANDS = "<!-- commands -->"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replaces `<!-- include FILE -->` and `<!-- commands -->`; links of an included file count from the root."""
    up = "../" * page.file.src_uri.count("/")

    def included(found: re.Match[str]) -> str:
        text = (ROOT / found[1]).read_text()
        return re.sub(r"\]\(docs/", f"]({up}", text)

    return INCLUDE.sub(included, markdown).replace(COMMANDS, commands())


def commands() -> str:
    """A table of every command and what it does, from the command line's own help."""
    from bolid.cli import FUNCTIONS, TRAINING

    known = TRAINING | {name: text for name, (_, text) in FUNCTIONS.items()}
    rows = [f"| `bolid {name}` | {text} |" for name, text in known.items()]
    return "\n".join(["| command | what it does |", "|---|---|", *rows])
