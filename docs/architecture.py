"""Writes the rooms and the arrows between them into `docs/architecture.md`: `python docs/architecture.py`.

What lies between the page's two marks is made from the code: rooms are the packages of `bolid`, an arrow says that some
module of one imports one of the other. The sizes of rooms are printed, and not written: they change with every commit.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Mapping
from pathlib import Path

import grimp
import networkx as nx

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
BEGIN, END = "<!-- made by docs/architecture.py -->\n", "<!-- end of what is made -->\n"


def order() -> list[str]:
    """The rooms from `core` to `cli` as the import linter's layers have them, then those outside of the method."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    method = [name.strip().removeprefix("bolid.") for layer in reversed(layers) for name in layer.split("|")]
    rooms = {path.parent.name for path in ROOT.glob("bolid/*/__init__.py")}
    return [room for room in method if room in rooms | {"cli"}] + sorted(rooms - set(method))


def arrows(rooms: list[str]) -> dict[str, list[str]]:
    """Which other rooms the modules of each import, in the order of the rooms."""
    graph = grimp.build_graph("bolid", cache_dir=None)
    for room in rooms:
        graph.squash_module(f"bolid.{room}")
    found = {room: graph.find_modules_directly_imported_by(f"bolid.{room}") for room in rooms}
    return {room: [other for other in rooms if other != room and f"bolid.{other}" in found[room]] for room in rooms}


def reduced(imports: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """The arrows that no chain of others implies."""

    graph = nx.DiGraph((room, other) for room, others in imports.items() for other in others)
    return [
        (room, other) for room, others in imports.items() for other in others
        if not any(other in nx.descendants(graph, between) for between in others if between != other)
    ]  # fmt: skip


def purpose(room: str) -> str:
    """The first line of a room's docstring."""
    folder = ROOT / "bolid" / room
    module = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(ast.parse(module.read_text())) or "").partition("\n")[0].replace("|", "\\|")


def made() -> str:
    """A diagram of the arrows that no others imply, and a table of all."""
    rooms = order()
    imports = arrows(rooms)
    lines = ["```mermaid", "graph RL", *(f"  {room} --> {other}" for room, other in reduced(imports)), "```", ""]
    lines += ["| room | what it holds | imports |", "|---|---|---|"]
    lines += [f"| `{room}` | {purpose(room)} | {', '.join(imports[room]) or '–'} |" for room in rooms]
    return "\n".join(lines) + "\n"


def rewritten(page: str) -> str:
    """The page with what lies between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + made() + END + rest.partition(END)[2]


def sizes(room: str) -> tuple[int, int]:
    """Files and lines of a room."""
    files = [*ROOT.glob(f"bolid/{room}/**/*.py"), *ROOT.glob(f"bolid/{room}.py")]
    return len(files), sum(len(file.read_text().splitlines()) for file in files)


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
    for name in order():
        print("{:12} {:3} files {:6} lines".format(name, *sizes(name)))
