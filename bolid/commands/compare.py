"""`bolid compare`: the metrics of several test reports in one table."""

from __future__ import annotations

import json
from math import nan
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import write_text
from bolid.evaluation.report import grid
from bolid.evaluation.results import read_report


def compare(runs: list[Path], metrics: list[str], out: Path | None = None) -> str:
    """Compares the metrics of several tests in a table: one row per run, one column per metric.

    Args:
        runs: Folders of runs with the report.json of `bolid test`.
        metrics: Names of metrics in the reports; a run without one shows a dash.
        out: JSON file to write the numbers to, as `<metric>/<run>`.

    Raises:
        BolidError: If a report cannot be read, two runs have the same name, or no run has a metric of some name.
    """
    names = [Path(run).name for run in runs]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise BolidError(f"runs are distinguished by their folders' names, and two are called {doubled[0]}")
    reports = {name: read_report(Path(run) / "report.json") for name, run in zip(names, runs, strict=True)}
    if unknown := [metric for metric in metrics if not any(metric in report for report in reports.values())]:
        known = ", ".join(sorted(set().union(*reports.values())))
        raise BolidError(f"no run has a metric {unknown[0]}; the metrics are {known}")
    if out is not None:
        found = {f"{m}/{name}": report[m] for m in metrics for name, report in reports.items() if m in report}
        write_text(Path(out), json.dumps(found, indent=2) + "\n")
    rows = {name: [report.get(metric, nan) for metric in metrics] for name, report in reports.items()}
    return "\n".join(grid("run", metrics, rows))
