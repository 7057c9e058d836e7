"""The page about the architecture says what the code is."""

import ast
import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()
SCRIPT = runpy.run_path(str(ROOT / "docs/architecture.py"))


def test_rooms_and_arrows_are_those_of_the_code():
    assert SCRIPT["rewritten"](PAGE) == PAGE, "make it anew: python docs/architecture.py"
    rooms = {path.parent.name for path in ROOT.glob("bolid/*/__init__.py")} | {"cli"}
    assert set(re.findall(r"^\| `(\w+)` \| \w", PAGE, re.MULTILINE)) == rooms  # each with its purpose


def test_an_arrow_that_others_imply_is_left_out():
    imports = {"a": ["b", "c", "d"], "b": ["c"], "c": [], "d": []}
    assert SCRIPT["reduced"](imports) == [("a", "b"), ("a", "d"), ("b", "c")]


def test_the_walk_names_at_most_ten_files_and_what_is_in_them():
    steps = re.split(r"^\d+\. ", PAGE.split("## A photo from")[1], flags=re.MULTILINE)[1:]
    files = [re.match(r"`(bolid/[\w/]+\.py)`: ", step)[1] for step in steps]
    assert len(files) == len(set(files)) <= 10
    for file, step in zip(files, steps, strict=True):
        defined = ast.walk(ast.parse((ROOT / file).read_text()))
        names = {n.name for n in defined if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        read = {"ImageRecord", "TrainingBatch", "metadata.parquet"}  # which have files of their own
        named = set(re.findall(r"`([^`]+)`", step.partition(": ")[2])) - read
        assert named, step
        assert named <= names, (file, named - names)
