"""The pages of the documentation, and what stands in their code blocks."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from bolid.cli import FUNCTIONS, TRAINING

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/tiny/README.md", *DOCS]
FENCE = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE)  # fmt: skip  # noqa: E501
ASSIGNED = re.compile(r"[A-Z_]+=\S*$")  # an environment variable before a command


class Block(NamedTuple):
    """A fenced block of code; `mark` is the comment that stands before it."""

    mark: str
    language: str
    title: str
    text: str


def blocks(text):
    """The fenced blocks of a page's text."""
    return [Block(*(found[name] or "" for name in Block._fields)) for found in FENCE.finditer(text)]


def commands(text):
    """The commands in the blocks that are run in a shell, as lists of words."""
    texts = [block.text.replace("\\\n", " ") for block in blocks(text) if block.language in ("", "bash")]
    found = [shlex.split(line, comments=True) for text in texts for line in text.splitlines() if known(line)]
    return [words[1:] if ASSIGNED.match(words[0]) else words for words in found]


def known(line):
    """Whether a line of a block is a command."""
    return re.match(r"(PYTHONPATH=\S+ )?(bolid|python|pip) ", line)


def verb(words):
    """A command's verb of one word or two."""
    return words[1] if words[1] in (*TRAINING, *FUNCTIONS) else " ".join(words[1:3])


def files(page):
    """Title -> text of the blocks that are files."""
    return {block.title: block.text for block in blocks(page.read_text()) if block.title}


def extension(name):
    """The files of a page on how to extend BoLID."""
    return files(ROOT / f"docs/extend/{name}.md")
