"""`bolid compare`: the table says what the reports say, and a wrong name is named."""

import json

import pytest


@pytest.fixture
def runs(tmp_path):
    for name, numbers in {"plain": {"shape_r2": 0.25, "pictures": 8}, "ours": {"shape_r2": 0.5, "twin": 0.75}}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "report.json").write_text(json.dumps(numbers))
    return ["--runs", "runs/plain", "runs/ours"]


def test_a_line_a_run_and_a_column_a_number(run, runs, tmp_path):
    status, out, _ = run("compare", *runs, "--metrics", "shape_r2", "twin", "--out", "table.json")
    assert (status, out) == (
        0,
        "| run | shape_r2 | twin |\n|---|---:|---:|\n| plain | 0.25 | – |\n| ours | 0.5 | 0.75 |\n",
    )
    found = json.loads((tmp_path / "table.json").read_text())
    assert found == {"shape_r2/plain": 0.25, "shape_r2/ours": 0.5, "twin/ours": 0.75}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--runs", "runs/none", "--metrics", "twin"], "runs/none/report.json is no report"),
        (["--runs", "runs/plain", "--metrics", "twin"], "no run has a metric twin; the metrics are pictures, shape_r2"),
        (["--runs", "runs/plain", "runs/plain", "--metrics", "twin"], "two are called plain"),
    ],
)
def test_what_cannot_be_compared_is_named(run, runs, words, told):
    status, _, err = run("compare", *words)
    assert (status, told in err) == (1, True)
