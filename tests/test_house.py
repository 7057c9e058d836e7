"""Rules of the house that no linter knows: small constructors, short files, nothing looked up by name."""

import ast
import inspect
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from bolid.core import schema

ROOT = Path(__file__).parents[1]
RENDERER = ROOT / "bolid/synthetic/people"  # is exempt from sizes
HOUSE = [path for path in sorted((ROOT / "bolid").rglob("*.py")) if RENDERER not in path.parents]
MOST_FIELDS, MOST_LINES = 10, 300
SCHEMA = {schema.ImageRecord, schema.TrainingBatch, schema.References, schema.Views}  # what data are, not options
OWNERS = re.compile(r"\b(datamodule|data_module|pl_module|task|self\.data)\b")  # nothing is looked up in them by name


def classes():
    """Every class that the house defines."""
    for path in HOUSE:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for found in vars(import_module(name)).values():
            if inspect.isclass(found) and found.__module__ == name:
                yield found


def settings(kind):
    """Names that a class's constructor takes, with those that `**kwargs` hands on to ours behind it."""
    names = set(getattr(kind, "_fields", ()))  # of a NamedTuple
    for parent in kind.__mro__:
        if "__init__" not in vars(parent):
            continue
        if not parent.__module__.startswith(("bolid.", __name__)):
            break  # a library's constructor is as it is
        found = list(inspect.signature(vars(parent)["__init__"]).parameters.values())[1:]
        names |= {p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in found):
            break
    return names


def lookups(source):
    """Lines in which something of a data module or task is looked up by name."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
        and OWNERS.search(ast.unparse(node.args[0]))
    ]


def test_constructors_and_options_have_ten_settings_at_most():
    large = {f"{kind.__module__}.{kind.__name__}": len(settings(kind)) for kind in classes() if kind not in SCHEMA}
    assert len(large) > 100
    assert not {name: count for name, count in large.items() if count > MOST_FIELDS}


def test_files_are_short():
    long = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in HOUSE}
    assert not {name: count for name, count in long.items() if count > MOST_LINES}


def test_nothing_is_looked_up_by_name_in_a_data_module_or_task():
    found = {path.relative_to(ROOT).as_posix(): lookups(path.read_text()) for path in HOUSE}
    assert not {name: lines for name, lines in found.items() if lines}


def test_the_rules_would_notice():
    class Base:
        def __init__(self, a, b=1):
            pass

    class Handing(Base):
        def __init__(self, c, *, d, **kwargs: Any):
            pass

    @dataclass
    class Options:
        e: int = 0

    class Pair(NamedTuple):
        f: int
        g: int

    class Heir(Handing):
        pass

    assert settings(Handing) == settings(Heir) == {"a", "b", "c", "d"}
    assert (settings(Options), settings(Pair)) == ({"e"}, {"f", "g"})
    assert lookups("x = getattr(trainer, 'y')\nz = getattr(trainer.datamodule, 'families', None)") == [2]
    assert lookups("hasattr(self.data, 'splits')") == [1]
