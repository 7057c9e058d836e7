"""Base class of measures, which are computed once per photo content, independent of thresholds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa


class Measure(ABC):
    """Computes values of photos. It is sent to other processes, where `read` loads its networks on first use.

    Attributes:
        name: Name of its table.
        columns: Name and type of each value; a value that cannot be read is null.
        batch: Number of photos per batch of a process; fewer for slow measures.
    """

    name: ClassVar[str]
    columns: ClassVar[dict[str, pa.DataType]]
    batch: int = 64

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of everything but the photo that determines the values: version and networks, without loading these."""

    @abstractmethod
    def read(self, path: Path) -> dict[str, Any]:
        """The values of one photo; missing ones are null.

        Raises:
            BolidError: If the photo cannot be read; all its values are null then.
        """

    def read_all(self, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """The values of several photos; an error in one photo does not affect the others."""
        from bolid.core.errors import BolidError

        rows: list[dict[str, Any]] = []
        for path in paths:
            try:
                rows.append(self.read(path))
            except BolidError:
                rows.append({})
        return rows
