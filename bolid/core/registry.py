"""Registry of classes by `kind`, so that no file names a module to import."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from bolid.core.errors import BolidError

T = TypeVar("T")


class Registry(Generic[T]):
    """Subclasses of a base class by `kind`: those imported so far, and those of installed packages.

    Args:
        what: Description of the classes, for messages.
        group: Group of entry points by which installed packages add classes; an entry's name is the kind.
    """

    def __init__(self, what: str, group: str) -> None:
        self.what, self.group = what, group
        self.kinds: dict[str, type[T]] = {}

    def add(self, kind: str, found: type[T]) -> None:
        """Registers a class; a reloaded module replaces its own class.

        Raises:
            TypeError: If another class has that kind.
        """
        known = self.kinds.get(kind)
        if known is not None and (known.__module__, known.__qualname__) != (found.__module__, found.__qualname__):
            raise TypeError(f"{found.__qualname__}: {known.__module__} has a {self.what} of kind {kind!r} already")
        self.kinds[kind] = found

    def find(self, kind: Any, given: Iterable[type[T]] = ()) -> type[T]:
        """The class of a kind, from `given`, imported modules, or entry points, in this order.

        Args:
            kind: Kind in a file.
            given: Further classes of the caller.

        Raises:
            BolidError: If the kind is unknown; the message lists the known ones.
        """
        known = self.kinds | {getattr(found, "kind", ""): found for found in given}
        offered = {entry.name: entry for entry in entry_points(group=self.group)}
        if isinstance(kind, str) and kind not in known and kind in offered:
            known[kind] = self._load(offered[kind])
        if not isinstance(kind, str) or kind not in known:
            kinds = ", ".join(sorted(known.keys() | offered.keys()))
            raise BolidError(
                f"unknown kind of {self.what} {str(kind)[:40]!r}; known are {kinds}: import the module that defines it "
                "or pass the class"
            )
        return known[kind]

    def _load(self, entry: Any) -> type[T]:
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            raise BolidError(f"the {self.what} {entry.name} of {entry.value} cannot be imported ({error})") from error
        if getattr(found, "kind", None) != entry.name:
            raise BolidError(f"the entry point {entry.value} is no {self.what} of kind {entry.name}")
        return found
