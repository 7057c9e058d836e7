"""The results of a test."""

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
    """One row of the image sheet.

    Attributes:
        references: Photos of the person, each (3, h, w) in 0..1.
        images: Method -> image (3, H, W) in 0..1, from left to right.
        caption: The prompt.
    """

    references: list[Tensor]
    images: dict[str, Tensor]
    caption: str = ""


@dataclass
class Report:
    """Result of `bolid test`.

    Attributes:
        metrics: Flat name -> value. A name that ends in `/<method>` (`body_similarity/both`) is in that method's column
            of report.md's table.
        pictures: Number of images per method.
        seed: Seed that reproduces the images.
        rows: Rows of the image sheet; empty for no sheet.
        notes: Notes for readers of the metrics.
        descriptions: First part of a metric's name -> its description.
    """

    metrics: dict[str, float]
    pictures: int
    seed: int
    rows: list[SheetRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    descriptions: Mapping[str, Description] = field(default_factory=dict)


def read_report(path: Path) -> dict[str, float]:
    """Reads the metrics of a `report.json` by name.

    Raises:
        BolidError: If the file cannot be read.
    """
    try:
        return {str(name): float(value) for name, value in json.loads(Path(path).read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise BolidError(f"{path} is no report ({error}): name one that `bolid test` wrote.") from error


def read_metric(path: Path, name: str) -> float:
    """Reads one metric of a `report.json`.

    Raises:
        BolidError: If the file cannot be read, or lacks the metric.
    """
    report = read_report(path)
    if name not in report:
        raise BolidError(f"{path} has no {name}: give the report of another test.")
    return report[name]
