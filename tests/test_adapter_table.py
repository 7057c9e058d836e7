"""The comparison's arithmetic, on made-up reports."""

import json
import runpy

import pytest
from PIL import Image

from tests.test_configs import ROOT

ERRORS = {"text": 1.2, "all": 0.7, "other": 1.3, "oracle": 0.6, "reconstruction": 0.2, "face": 1.1, "image": 1.0}
RUNS = {
    "plain": ("text", "face", "other", "reconstruction"),
    "all": ("all",),
    "image": ("image",),
    "oracle": ("oracle",),
}


def numbers(column):
    found = {f"body_shape_error/{column}": ERRORS[column], f"clothes_leak/{column}": 0.01}
    found |= {f"adherence/{name}/{column}": 0.9 for name in ("shirt", "trousers", "background")}
    found |= {f"adherence/pose/{column}": 0.7 if column == "all" else 0.9, f"adherence/view/{column}": 0.0}
    found |= {f"clip_score/net/{column}": 80.0 if column == "all" else 90.0, f"clip_score_shuffled/net/{column}": 40.0}
    return found | {f"fid/net/{column}": 5.5 if column == "all" else 5.0, "pictures": 8, "seed": 0}


def test_the_table_holds_every_number_and_what_follows(tmp_path, capsys):
    for run, columns in RUNS.items():
        write(tmp_path / run, {k: v for column in columns for k, v in numbers(column).items()})
    scales = {
        f"body_shape_{name}/scale_{25 * k:03}{bound}": abs(k - 3) + 0.5
        for k in range(7)
        for name, bound in (("slope", ""), ("error", ""), ("error", "/low"), ("error", "/high"))
    }
    write(tmp_path / "scales", scales)
    write(tmp_path / "prior", {"build_words_correlation/prior": 0.6})
    write(tmp_path / "faces", {"face_similarity/face": 0.5})
    for way in ("one_reference", "unguided"):
        write(tmp_path / way, {f"body_shape_error/{column}": 1.0 for column in RUNS["plain"]})
        write(tmp_path / f"all_{way}", {"body_shape_error/all": 0.9})
    runpy.run_path(str(ROOT / "benchmarks/adapter_table.py"))["main"](
        tmp_path, tmp_path / "out.json", tmp_path / "plot.png"
    )
    found = json.loads((tmp_path / "out.json").read_text())
    assert Image.open(tmp_path / "plot.png").size == (960, 360)
    assert found["body_shape_error/oracle"] == 0.6
    assert found["body_shape_error/scale_050"] == 1.5
    expected = {
        "body_gap_closed": 0.5, "body_gap_closed_of_oracle": 5 / 6, "other_gap_closed": -0.1, "clip_retained": 0.8,
        "adherence_retained": 3.4 / 3.6, "clothes_leak_excess": 0.01, "fid_ratio": 1.1, "lambda_b_best": 0.75,
        "text_only_build_corr": 0.6, "unguided/body_shape_error/all": 0.9, "face_similarity/face": 0.5,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    page = capsys.readouterr().out
    assert "| body_shape_error | 1.2 | 1 | 1.1 | 0.7 | 1.3 | 0.6 | 0.2 |" in page
    assert "scale" not in page.splitlines()[0]
    assert "- body_gap_closed: 0.5" in page


def write(folder, report):
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report))
