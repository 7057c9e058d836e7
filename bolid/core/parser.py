"""Command-line errors as one line that says what to mend."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from bolid.core.errors import BolidError


class OneLineErrors:
    """Mixin for jsonargparse parsers: a parse error becomes a `BolidError` of one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises the error in place of printing usage and exiting."""
        parser: Any = getattr(ex, "subcommand_parser", None) or self
        raise BolidError(shorten(message) + suggestion(message, parser)) from ex


class OneLineParser(OneLineErrors, ArgumentParser):
    """For the plain functions."""


def shorten(message: str) -> str:
    """The cause at the end of jsonargparse's nested explanation, with the key at its start."""
    cause = next((c for c in chain(message) if c), message)
    lines = [line.strip() for line in cause.strip().splitlines() if line.strip()]
    key = re.search(r'[Pp]arser key "([^"]+)"', message)
    last = lines[-1].removeprefix("- ")
    return last if key is None or key[1] in last else f"{key[1]}: {last}"


def chain(message: str) -> list[str]:
    """A `BolidError` quoted inside the message comes first."""
    quoted = re.search(r"BolidError: (.*)", message)
    return [quoted[1] if quoted else "", message]


def suggestion(message: str, parser: Any) -> str:
    """The option or key that was probably meant, if the message complains of an unknown one."""
    unknown = re.search(r"(?:[Uu]nrecognized arguments?:? --|[Kk]ey '|[Kk]ey \"|--)([\w.]+)", message)
    if unknown is None:
        return "; see `--help`"
    known = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
    close = get_close_matches(unknown[1], known, 1, 0.6)
    return f"; did you mean {close[0]}?" if close and close[0] != unknown[1] else "; see `--help` or `--print_config`"
