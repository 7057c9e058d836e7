"""`bolid completion`: a script by which shells complete commands and options."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

TRAINING = ("--config", "--ckpt_path", "--print_config", "--help")  # and the settings' own, which files hold


def completion(shell: Literal["bash", "zsh", "tcsh"]) -> str:
    """Prints a completion script: `eval "$(bolid completion bash)"`, or a line of that in your shell's own file.

    Args:
        shell: Which shell it is for.

    Returns:
        The script.
    """
    import shtab

    cli: Any = import_module("bolid.cli")  # which imports commands

    parser = ArgumentParser("bolid")
    tree = parser.add_subparsers()
    for command, text in cli.TRAINING.items():  # what has no help is not completed
        sub = tree.add_parser(command, help=text, add_help=False)
        for option in TRAINING:
            _add(sub, option, Path if option in ("--config", "--ckpt_path") else bool)
    groups: dict[str, Any] = {}
    for command, (place, text) in cli.FUNCTIONS.items():
        first, _, second = command.partition(" ")
        if second and first not in groups:
            groups[first] = tree.add_parser(first, help=f"{first} …").add_subparsers()
        _describe((groups[first] if second else tree).add_parser(second or first, help=text), place)
    return shtab.complete(parser, shell)


def _describe(parser: ArgumentParser, place: str) -> None:
    module, _, name = place.partition(":")
    function: Callable = getattr(import_module(module), name)
    hints: Mapping[str, Any] = get_type_hints(function)
    for parameter in inspect.signature(function).parameters:
        _add(parser, f"--{parameter}", hints.get(parameter, str))


def _add(parser: ArgumentParser, option: str, hint: Any) -> None:
    """An option with what completes its value: choices, or files."""
    import shtab

    parts = [hint, *get_args(hint)]
    choices = next((get_args(part) for part in parts if get_origin(part) is Literal), None)
    action: Any = parser.add_argument(option, choices=choices)
    if Path in parts:
        action.complete = shtab.FILE
