"""The exception for errors that users can fix."""

from __future__ import annotations

from collections.abc import Iterator


class BolidError(Exception):
    """An error that the user can fix: the message says what is wrong, where, and what to do.

    The command line prints it as a single line and exits with status 1; every other exception keeps its traceback.
    """


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an exception and its causes, the innermost last."""
    while error is not None:
        yield error
        error = error.__cause__
