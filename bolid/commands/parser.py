"""Parsers that report a mistake as one line that says how to fix it, and load YAML strictly."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Sequence
from difflib import get_close_matches
from inspect import signature
from itertools import takewhile
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentParser, get_loader, set_loader, set_parsing_settings

from bolid.core.errors import BolidError, causes

# jsonargparse's messages for unknown names and for values of another type.
UNKNOWN = re.compile(r"(?:[Oo]ption '|unrecognized arguments: --)([\w.]+)")
EXPECTED = re.compile(r"Expected a ((?:<class '|typing\.Literal).*?)(?:\. Got value|$)", re.MULTILINE)
CLASS = re.compile(r"<class\s+'(?:[\w.]+\.)?(\w+)'>")
KEYWORD = re.compile(r"(--\w+)_( \w+)_\b")
WRITTEN = {"NoneType": "null", "tuple": "a list such as '[96,64]'", "list": "a list such as '[1,2]'"}


# Callables that execute code from a file or an argument, and are no condition, loss, metric or callback.
DENIED = [
    "ultralytics",
    "torch.hub",
    "torch.load",
    "torch.serialization",
    "joblib",
    "cloudpickle",
    "dill",
    "numpy.load",
]
DENIED += ["pandas", "lightning.pytorch.callbacks.LambdaCallback", "lightning.pytorch.callbacks.lambda_function"]


def trust_nothing() -> None:
    """Restricts configurations to local files, and objects to settings that declare a class.

    Call it after Lightning's command line is imported, which allows more. A configuration is still code: naming a
    module imports it.
    """
    set_parsing_settings(
        config_read_mode_urls_enabled=False,
        config_read_mode_fsspec_enabled=False,
        instantiate_subclass_spec_in_any=False,
        import_path_denylist=DENIED,
    )
    set_loader("yaml", load_yaml, exceptions=(yaml.YAMLError,))


_plain_load = get_loader("yaml")


def load_yaml(text: str) -> Any:
    """jsonargparse's YAML loader, with an error for duplicate keys, of which PyYAML keeps the last.

    Raises:
        BolidError: If a key occurs twice in a mapping.
    """
    found = _plain_load(text)
    nodes = [yaml.compose(text, Loader=yaml.SafeLoader)] if isinstance(found, dict | list) else []
    while nodes:
        node: Any = nodes.pop()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        names = [key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
        if double := next((name for name in names if names.count(name) > 1), None):
            raise BolidError(f"{double!r} occurs twice in one mapping, at line {node.start_mark.line + 1} and below")
        nodes += [value for _, value in pairs] + (node.value if isinstance(node, yaml.SequenceNode) else [])
    return found


class SettingError(BolidError, TypeError):
    """An invalid setting. It is a `TypeError`, so that the parsers around a nested one prepend their keys.

    Args:
        key: Dotted key of the setting; empty if the message names it.
        what: The message.
    """

    def __init__(self, key: str, what: str):
        super().__init__(f"{key}: {what}" if key else what)
        self.key, self.what = key, what


class OneLineErrors:
    """Mixin for jsonargparse parsers: a parse error becomes a `BolidError` of one line; types in the help are names."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises the error instead of printing usage and exiting; the parsers of nested classes do so first."""
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        known = re.findall(r"--([\w.]+)", parser.format_help())
        found = re.match(r'Parser key "([^"]+)"', message)
        key = found[1] if found else ""
        nested = next((e for e in causes(ex) if isinstance(e, BolidError)), None)
        if nested is None:
            raise SettingError(key, complaint(message, ex, known)) from ex
        if not isinstance(nested, SettingError):
            raise nested
        path = [key, "init_args" if f"{key}.help" in known else "", nested.key]  # only classes have a help of their own
        raise SettingError(".".join(filter(None, path)), nested.what) from ex

    def format_help(self, *formatter: Any) -> str:
        """jsonargparse's help with `Path` instead of `<class 'Path'>` and `--from` instead of `--from_`."""
        return KEYWORD.sub(r"\1\2", CLASS.sub(r"\1", super().format_help(*formatter)))  # type: ignore[misc]


class OneLineParser(OneLineErrors, ArgumentParser):
    """Parser of the commands that are functions."""


def gather(words: Sequence[str], function: Callable) -> list[str]:
    """Rewrites `--photos a.jpg b.jpg` as jsonargparse expects it, `--photos ["a.jpg", "b.jpg"]`.

    Args:
        words: The command line's words.
        function: The function to call; the types of its parameters say which options take several values.
    """
    counts = {name: values(hint) for name, hint in get_type_hints(function).items()}
    several = {f"--{name}": count for name, count in counts.items() if count > 1}
    gathered: list[str] = []
    words = [respelled(word, counts) for word in words]
    if leading := [*takewhile(lambda word: not word.startswith(("-", "[")), words)] if several_first(function) else []:
        gathered, words = [json.dumps(leading)], words[len(leading) :]
    rest = [part for word in words for part in (word.split("=", 1) if word.partition("=")[0] in several else [word])]
    while rest:
        option = rest.pop(0)
        gathered.append(option)
        taken = list(takewhile(lambda word: not word.startswith("--"), rest[: several.get(option, 0)]))
        if taken and taken[0] != "null" and not taken[0].startswith("["):
            gathered.append(json.dumps([_number(word) for word in taken]))
            rest = rest[len(taken) :]
    return gathered


def respelled(word: str, names: Collection[str]) -> str:
    """`--from` as `--from_`: `from` is a Python keyword, so that the parameter has an underscore."""
    head, mark, tail = word.partition("=")
    return f"{head}_{mark}{tail}" if head.startswith("--") and f"{head[2:]}_" in names else word


def several_first(function: Callable) -> bool:
    """Whether a function's first parameter takes several values and has no default, and so is positional."""
    first = next(iter(signature(function).parameters.values()), None)
    return first is not None and first.default is first.empty and values(get_type_hints(function)[first.name]) > 1


def values(hint: Any) -> int:
    """Number of values that a parameter of this type takes on the command line; infinite for a list."""
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint]:
        origin = get_origin(kind) or kind
        if origin is tuple and get_args(kind)[1:] != (Ellipsis,):
            return len(get_args(kind))
        if isinstance(origin, type) and issubclass(origin, Sequence) and origin is not str:
            return sys.maxsize
    return 1


def _number(word: str) -> str | float:
    return json.loads(word) if re.fullmatch(r"-?\d+(\.\d+)?", word) else word


def complaint(message: str, error: Exception | None, known: list[str]) -> str:
    """The message for an unknown name, a value of another type, or else of the innermost exception."""
    if unknown := UNKNOWN.search(message):
        return no_such(unknown[1], known)
    if denied := re.search(r"Importing '([\w.]+)' is not allowed", message):
        return f"a configuration may not name {denied[1]}, which runs what it is given"
    inner = str([*causes(error)][-1]) if message.startswith("Parser key") and error else message
    if not EXPECTED.search(inner):
        remedy = "give them or a `--config FILE`" if "required" in inner and "config" in known else "see `--help`"
        return f"{' '.join(inner.split())}; {remedy}"
    types = [re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", CLASS.sub(r"\1", t)) for t in EXPECTED.findall(message)]
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    return f"expected {' or '.join(WRITTEN.get(t, t) for t in types)}" + (f", got {value[1]}" if value else "")


def no_such(name: str, known: list[str]) -> str:
    """The message for an unknown setting, with the closest known one."""
    head, dot, rest = name.partition(".")
    heads = {k.partition(".")[0] for k in known}
    close = get_close_matches(name, known, 1) if head in heads else get_close_matches(head, heads, 1)
    meant = close and (close[0] if head in heads else close[0] + dot + rest)
    return f"no such setting '{name}'; " + (f"did you mean '{meant}'?" if meant else "see `--help`")
