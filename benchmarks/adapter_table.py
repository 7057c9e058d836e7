"""The comparison that `make table` makes: `python benchmarks/adapter_table.py RUNS OUT.json PLOT.png`.

RUNS holds the tested runs plain, all, image, oracle, scales, prior and faces (`configs/table`), and plain and all
again with one reference and without guidance, each with a report.json. OUT gets all their numbers as
`<row>/<column>`, those of the last as `one_reference/<row>/<column>` and `unguided/…`, and what follows from them;
the page that it prints is a table. PLOT shows how body shape follows the λ of the body condition.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from bolid.core.safe_io import atomic_path, write_text
from bolid.evaluation.report import table
from bolid.evaluation.results import read_report

COLUMNS = ("text", "image", "face", "body", "face_body", "all", "other", "oracle", "reconstruction")
RUNS = {
    "plain": "",
    "all": "",
    "image": "",
    "oracle": "",
    "scales": "",
    "faces": "",
}  # run -> how its rows' names begin
RUNS |= {f"{trained}{way}": f"{way}/" for way in ("one_reference", "unguided") for trained in ("", "all_")}
RUNS |= {"prior": "prior/"}
ASKED = ("shirt", "trousers", "background", "pose")  # what prompt adherence is the mean of


def derived(numbers: Mapping[str, float]) -> dict[str, float]:
    """What follows: shares of gaps in body shape, and what being told about the person costs elsewhere.

    Args:
        numbers: By `<row>/<column>`.
    """

    def error(column: str) -> float:
        return numbers[f"body_shape_error/{column}"]

    def by_network(metric: str, column: str) -> float:
        return next(v for k, v in numbers.items() if k.startswith(f"{metric}/") and k.endswith(f"/{column}"))

    def adherence(column: str) -> float:
        return sum(numbers[f"adherence/{name}/{column}"] for name in ASKED) / len(ASKED)

    unrelated = by_network("clip_score_shuffled", "text")
    told, free = (by_network("clip_score", column) - unrelated for column in ("all", "text"))
    return {
        "body_gap_closed": (error("text") - error("all")) / (error("text") - error("reconstruction")),
        "body_gap_closed_of_oracle": (error("text") - error("all")) / (error("text") - error("oracle")),
        "other_gap_closed": (error("text") - error("other")) / (error("text") - error("reconstruction")),
        "clip_retained": told / free,
        "adherence_retained": adherence("all") / adherence("text"),
        "clothes_leak_excess": numbers["clothes_leak/all"],
        "fid_ratio": by_network("fid", "all") / by_network("fid", "text"),
        "lambda_b_best": scale_of(min(filter(is_scale, map(column_of, numbers)), key=error)),
        "text_only_build_corr": numbers["prior/build_words_correlation/prior"],
    }


def column_of(name: str) -> str:
    """The column of a number named `<row>/<column>`."""
    return name.rpartition("/")[2]


def is_scale(column: str) -> bool:
    """Whether a method is named for its λ, as those of `configs/table/scales.yaml` are."""
    return column.startswith("scale_")


def scale_of(column: str) -> float:
    """The λ that a method is named for: 0.75 of `scale_075`."""
    return float(column.removeprefix("scale_")) / 100


def plot(numbers: Mapping[str, float], out: Path) -> None:
    """Draws the slope of readings on the truth and the error of body shape, with its 95 % interval, over λ."""
    scales = sorted({column for column in map(column_of, numbers) if is_scale(column)}, key=scale_of)
    slope, error, low, high = (
        [numbers[name.format(scale)] for scale in scales]
        for name in ("body_shape_slope/{}", *(f"body_shape_error/{{}}{bound}" for bound in ("", "/low", "/high")))
    )
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(list(map(scale_of, scales)), slope, marker="o")
    left.set(xlabel="λ of the body condition", ylabel="slope of readings on the truth")
    right.plot(list(map(scale_of, scales)), error, marker="o")
    right.fill_between(list(map(scale_of, scales)), low, high, alpha=0.2)
    right.set(xlabel="λ of the body condition", ylabel="body-shape error")
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main(runs: Path, out: Path, picture: Path) -> None:
    """Gathers, derives, writes, draws and prints."""
    numbers: dict[str, float] = {}
    for run, start in RUNS.items():
        report = read_report(runs / run / "report.json")
        numbers |= {f"{start}{name}": value for name, value in report.items() if name not in ("pictures", "seed")}
    found = derived(numbers)
    write_text(out, json.dumps(numbers | found, indent=2) + "\n")
    plot(numbers, picture)
    rows = {name: value for name, value in numbers.items() if not is_scale(column_of(name))}
    print("\n".join([*table(rows, COLUMNS), "", *(f"- {name}: {value:.3g}" for name, value in found.items())]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
