"""What is read off a photo once, and kept by the photo's content whatever the thresholds are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa


class Measure(ABC):
    """Reads values off photos. It travels to other processes, where `read` loads its networks when first asked.

    Attributes:
        name: Of its table.
        columns: Name and type of each value; a value that cannot be read is null.
        batch: How many photos a process takes at a time: fewer where each takes long.
    """

    name: ClassVar[str]
    columns: ClassVar[dict[str, pa.DataType]]
    batch: int = 64

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Of everything but the photo that decides the values: version, networks. Known without loading a network."""

    @abstractmethod
    def read(self, path: Path) -> dict[str, Any]:
        """The values of one photo; those that are left out are null.

        Raises:
            BolidError: If the photo cannot be read; all its values are null then.
        """

    def read_all(self, paths: Sequence[Path]) -> list[dict[str, Any]]:
        """The values of several photos; nothing that is wrong with one photo ends the others."""
        from bolid.core.errors import BolidError

        rows: list[dict[str, Any]] = []
        for path in paths:
            try:
                rows.append(self.read(path))
            except BolidError:
                rows.append({})
        return rows
