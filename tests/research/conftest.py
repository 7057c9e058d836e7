"""Fixtures of the tests of finished experiments."""

from tests.tasks.conftest import folders

__all__ = ["folders"]
