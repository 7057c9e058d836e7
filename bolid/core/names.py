"""Validates names of conditions, losses, metrics and methods in a configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from torch import nn

from bolid.core.errors import BolidError

T = TypeVar("T")
NAME = re.compile(r"\w[\w '+-]{0,63}")  # they become file names, headings and keys of state dicts, hence no dot


def named(parts: Mapping[str, T | None] | None, what: str) -> dict[str, T]:
    """The parts by name in order, without those set to null.

    Args:
        parts: Name -> part.
        what: Kind of part, for the message.

    Raises:
        BolidError: If a name is no valid file name or `ModuleDict` key.
    """
    kept = {name: part for name, part in (parts or {}).items() if part is not None}
    for name in kept:
        if not isinstance(name, str) or not NAME.fullmatch(name) or hasattr(nn.ModuleDict, name):
            raise BolidError(f"{what}: {name!r} cannot be a name; choose one of letters, digits, - and _ only")
    return kept


def check_known(names: Collection[str], known: Collection[str], where: str, what: str) -> None:
    """Refuses unknown names.

    Raises:
        BolidError: If a name is unknown; the message lists the known ones.
    """
    if unknown := sorted(set(names) - set(known)):
        raise BolidError(f"{where}: no {what} is called {', '.join(unknown)}; there are {', '.join(known) or 'none'}")
