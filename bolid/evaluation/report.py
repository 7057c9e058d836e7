"""Writes the report of a test: report.json, report.md and sheet.png."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path

from bolid.core.safe_io import atomic_path, write_text
from bolid.evaluation.results import Report, SheetRow
from bolid.evaluation.sheet import draw_sheet

BOUNDS = ("low", "high")  # suffixes of the keys of an interval's bounds


def write_report(report: Report, folder: Path, max_rows: int = 8) -> list[Path]:
    """Writes `report.json`, `report.md` and, if there are rows, `sheet.png`, each atomically.

    Args:
        report: Report of the test.
        folder: Output folder, created if absent.
        max_rows: Maximum number of rows on the sheet.

    Returns:
        The files written.
    """
    folder = Path(folder)
    written = [folder / "report.json", folder / "report.md"]
    rows = different_people(report.rows, max_rows)
    write_text(written[0], json.dumps(flat(report), indent=2) + "\n")
    write_text(written[1], markdown(report, sheet=bool(rows)))
    if rows:
        written.append(folder / "sheet.png")
        with atomic_path(written[-1]) as temporary:
            draw_sheet(rows).save(temporary)
    return written


def flat(report: Report) -> dict[str, float | int]:
    """Name -> number, with `pictures` (the number of images) and `seed`; NaN, which JSON lacks, is left out."""
    numbers = {name: value for name, value in report.metrics.items() if isfinite(value)}
    return {**numbers, "pictures": report.pictures, "seed": report.seed}


def markdown(report: Report, sheet: bool = False) -> str:
    """The report as Markdown: a table of metrics by method, and notes on how to read it."""
    columns = list(report.rows[0].images) if report.rows else []
    lines = ["# Test report", "", f"{report.pictures} images, seed {report.seed}.", ""]
    lines += [*table(report.metrics, columns), "", *how_to_read(report), *(f"- {note}" for note in report.notes)]
    if sheet:
        lines += ["", "![Image sheet](sheet.png)"]
    return "\n".join(lines) + "\n"


def how_to_read(report: Report) -> list[str]:
    """Notes on the metrics: direction, unit, and limits of comparison."""
    names = list(dict.fromkeys(name.split("/")[0] for name in report.metrics))
    described = {name: report.descriptions[name] for name in names if name in report.descriptions}
    lines = [f"- `{name}`: {description}." for name, description in described.items()]
    for name, description in described.items():
        if not any(isfinite(value) for key, value in report.metrics.items() if key.split("/")[0] == name):
            lines.append(f"- `{name}` could not be measured: no sample has {description.needs or 'what it needs'}.")
    few = [f"`{name}`" for name, description in described.items() if report.pictures < description.smallest]
    if few:
        lines.append(
            f"- **Few images**: {', '.join(few)} from {report.pictures} images are not comparable with published "
            "values, which take tens of thousands; compare only runs with as many images and the same network."
        )
    if any(name.endswith(f"/{BOUNDS[0]}") for name in report.metrics):
        lines.append(
            "- In brackets: 95 % bootstrap intervals over people, for the given networks. `a-b` is method a minus "
            "method b for the same people: the difference is significant if its interval excludes 0."
        )
    return lines


def table(metrics: dict[str, float], columns: Sequence[str]) -> list[str]:
    """Markdown tables: one row per metric and one column per method, then values of no method or of several.

    A value with bounds (`<name>/low` and `<name>/high`) is written as `0.14 [0.1, 0.18]`.
    """
    beside: dict[str, dict[str, str]] = {}
    alone: dict[str, str] = {}
    for name, value in metrics.items():
        metric, _, column = name.rpartition("/")
        if column in BOUNDS and metric in metrics:
            continue
        cell = _cell(value, *(metrics.get(f"{name}/{bound}") for bound in BOUNDS))
        (beside.setdefault(metric, {}) if column in columns else alone)[column if column in columns else name] = cell
    headings = [c for c in columns if any(c in line for line in beside.values())]
    rows = {metric: [cells.get(heading, "–") for heading in headings] for metric, cells in beside.items()}
    parts = [_lines("metric", headings, rows)] if rows else []
    parts += [_lines("metric", ["value"], {name: [cell] for name, cell in alone.items()})] if alone else []
    return [line for number, part in enumerate(parts) for line in ([""] if number else []) + part]


def grid(corner: str, headings: Sequence[str], rows: Mapping[str, Sequence[float]]) -> list[str]:
    """A Markdown table of numbers; NaN is written as a dash."""
    return _lines(corner, headings, {name: [_cell(value) for value in values] for name, values in rows.items()})


def _lines(corner: str, headings: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    lines = [f"| {corner} | {' | '.join(headings)} |", "|---|" + "---:|" * len(headings)]
    return lines + [f"| {name} | {' | '.join(cells)} |" for name, cells in rows.items()]


def _cell(value: float, low: float | None = None, high: float | None = None) -> str:
    if not isfinite(value):
        return "–"
    known = low is not None and high is not None and isfinite(low) and isfinite(high)
    return f"{value:.4g} [{low:.3g}, {high:.3g}]" if known else f"{value:.4g}"


def different_people(rows: Sequence[SheetRow], count: int) -> list[SheetRow]:
    """`count` evenly spaced rows, since neighbours are often photos of one person."""
    return [rows[i * len(rows) // count] for i in range(count)] if len(rows) > count else list(rows)
