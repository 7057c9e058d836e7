import json

import torch
from PIL import Image

from bolid.evaluation.report import different_people, flat, how_to_read, table, write_report
from bolid.evaluation.results import Report, SheetRow
from bolid.metrics.base import Description


def row(number=0):
    return SheetRow(
        [torch.rand(3, 96, 64)], {"text": torch.rand(3, 96, 64), "both": torch.rand(3, 96, 64)}, f"{number}"
    )


METRICS = {"fid/clip/text": 12.3456, "fid/clip/both": 9.0, "body_similarity/both": 0.25, "val": 1.5}


def test_json_is_flat_and_complete(tmp_path):
    write_report(Report(METRICS, pictures=256, seed=7), tmp_path / "run")
    found = json.loads((tmp_path / "run" / "report.json").read_text())
    assert found == METRICS | {"pictures": 256, "seed": 7}


def test_what_is_not_a_number_is_left_out_of_json_and_dashed_in_the_table():
    report = Report({"fid/clip/both": float("nan"), "kid/clip": 0.5}, pictures=1, seed=0)
    assert flat(report) == {"kid/clip": 0.5, "pictures": 1, "seed": 0}
    assert table(report.metrics, ["both"])[2] == "| fid/clip | – |"


def test_table_puts_columns_side_by_side_and_the_rest_below():
    assert table(METRICS, ["text", "both"]) == [
        "| metric | text | both |",
        "|---|---:|---:|",
        "| fid/clip | 12.35 | 9 |",
        "| body_similarity | – | 0.25 |",
        "",
        "| metric | value |",
        "|---|---:|",
        "| val | 1.5 |",
    ]


def test_intervals_stand_beside_their_values(tmp_path):
    metrics = {"body_similarity/text": 0.05, "body_similarity/both": 0.25, "body_similarity/both-text": 0.2}
    metrics |= {"body_similarity/both/low": 0.1234, "body_similarity/both/high": 0.4}
    metrics |= {"body_similarity/both-text/low": -0.1, "body_similarity/both-text/high": 0.5}
    metrics |= {"body_similarity/text/low": float("nan"), "body_similarity/text/high": float("nan")}  # one person
    lines = table(metrics, ["text", "both"])
    assert lines[2] == "| body_similarity | 0.05 | 0.25 [0.123, 0.4] |"
    assert lines[4:] == ["| metric | value |", "|---|---:|", "| body_similarity/both-text | 0.2 [-0.1, 0.5] |"]
    write_report(Report(metrics, pictures=4, seed=0), tmp_path)
    assert "intervals over people" in (tmp_path / "report.md").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["body_similarity/both/high"] == 0.4


def test_few_pictures_are_labelled(tmp_path):
    fid = {"fid": Description("from 0", "lower", smallest=2048), "psnr": Description("of pixels", "higher", "dB")}
    write_report(Report(METRICS, pictures=256, seed=0, notes=["Read this."], descriptions=fid), tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert "**Few images**: `fid` from 256 images" in page
    assert "256 images, seed 0" in page
    assert "- Read this." in page
    assert "- `fid`: from 0; lower is better." in page
    assert "psnr" not in page  # which was not measured
    write_report(Report(METRICS, pictures=10_000, seed=0, descriptions=fid), tmp_path)
    assert "Few images" not in (tmp_path / "report.md").read_text()


def test_sheet_is_written_beside_it_and_nothing_else_is_left(tmp_path):
    files = write_report(Report(METRICS, 2, 0, rows=[row(i) for i in range(5)]), tmp_path, max_rows=2)
    assert sorted(files) == sorted(tmp_path.iterdir())
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert 2 * 288 < sheet.height < 3 * 288
    assert "sheet.png" in (tmp_path / "report.md").read_text()


def test_rows_are_spread_over_all():
    rows = [row(i) for i in range(10)]
    assert [r.caption for r in different_people(rows, 5)] == ["0", "2", "4", "6", "8"]
    assert different_people(rows, 20) == rows


def test_what_no_sample_could_be_scored_by_is_named_with_what_it_needs():
    described = {"shape": Description("of bodies", "lower", needs="a whole figure"), "fid": Description("from 0")}
    nothing = {"shape/text": float("nan"), "shape/both": float("nan"), "fid/text": 1.0, "fid/both": float("nan")}
    lines = how_to_read(Report(nothing, 4, 0, descriptions=described))
    assert lines[2:] == ["- `shape` could not be measured: no sample has a whole figure."]
