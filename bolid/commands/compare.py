"""The verb `bolid compare`."""

from __future__ import annotations

import json
from math import nan
from pathlib import Path

from bolid.core.errors import BolidError
from bolid.core.safe_io import write_text
from bolid.evaluation.report import grid
from bolid.evaluation.results import read_report


def compare(runs: list[Path], metrics: list[str], out: Path | None = None) -> str:
    """Puts the numbers of several tests side by side: a line per run, a column per number.

    Args:
        runs: Folders of runs that `bolid test` left a report.json in.
        metrics: Names of numbers as they stand there; a run that has none of that name shows a dash.
        out: A JSON file that gets the numbers as `<metric>/<run>` too.

    Raises:
        BolidError: if a report cannot be read, two runs have one name, or no run has a number of some name.
    """
    names = [Path(run).name for run in runs]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise BolidError(f"runs are told apart by their folders' names, and two are called {doubled[0]}")
    reports = {name: read_report(Path(run) / "report.json") for name, run in zip(names, runs, strict=True)}
    if unknown := [metric for metric in metrics if not any(metric in report for report in reports.values())]:
        known = ", ".join(sorted(set().union(*reports.values())))
        raise BolidError(f"no run tells {unknown[0]}; they tell {known}")
    if out is not None:
        found = {f"{m}/{name}": report[m] for m in metrics for name, report in reports.items() if m in report}
        write_text(Path(out), json.dumps(found, indent=2) + "\n")
    rows = {name: [report.get(metric, nan) for metric in metrics] for name, report in reports.items()}
    return "\n".join(grid("run", metrics, rows))
