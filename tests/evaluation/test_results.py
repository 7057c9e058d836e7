"""Numbers of reports are read back."""

import json

import pytest

from bolid.core.errors import BolidError
from bolid.evaluation.results import read_metric


def test_a_number_of_a_report_is_read_and_its_absence_named(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"shape_r2": 0.5}))
    assert read_metric(tmp_path / "report.json", "shape_r2") == 0.5
    with pytest.raises(BolidError, match="has no twin_top1"):
        read_metric(tmp_path / "report.json", "twin_top1")
    with pytest.raises(BolidError, match="is no report"):
        read_metric(tmp_path / "none.json", "shape_r2")
