"""The one exception users are meant to read."""

from __future__ import annotations

from collections.abc import Iterator


class BolidError(Exception):
    """Something the user can mend: the message says what was wrong, where, and what to do.

    The command line prints it as a single line and exits with status 1; every other exception keeps its traceback.
    """


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those it was raised from, the innermost last."""
    while error is not None:
        yield error
        error = error.__cause__
