"""What a test run hands over to those who write reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from bolid.core.errors import BolidError
from bolid.metrics.base import Description


@dataclass
class SheetRow:
    """One person on the picture sheet.

    Attributes:
        references: Photos of the person, each (3, h, w) in 0..1.
        images: Heading -> image (3, H, W) in 0..1, from left to right.
        caption: The prompt.
    """

    references: list[Tensor]
    images: dict[str, Tensor]
    caption: str = ""


@dataclass
class Report:
    """The outcome of `bolid test`.

    Attributes:
        metrics: Flat name -> value. A name that ends in `/<column>`, a heading of `rows` (`body_similarity/both`),
            stands in that column of report.md's table.
        pictures: Number of pictures per column behind the metrics.
        seed: What every picture can be drawn again with.
        rows: People for the picture sheet; none, no sheet.
        notes: Sentences that a reader of the numbers must know.
        descriptions: First part of a metric's name -> what report.md says of it.
    """

    metrics: dict[str, float]
    pictures: int
    seed: int
    rows: list[SheetRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    descriptions: Mapping[str, Description] = field(default_factory=dict)


def read_report(path: Path) -> dict[str, float]:
    """The numbers of a `report.json` by name.

    Raises:
        BolidError: If the file cannot be read.
    """
    try:
        return {str(name): float(value) for name, value in json.loads(Path(path).read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BolidError(f"{path} is no report ({error}): name one that `bolid test` wrote.") from error


def read_metric(path: Path, name: str) -> float:
    """A number of a `report.json`.

    Raises:
        BolidError: If the file cannot be read, or has no such number.
    """
    report = read_report(path)
    if name not in report:
        raise BolidError(f"{path} tells no {name}: name the report of another test.")
    return report[name]
