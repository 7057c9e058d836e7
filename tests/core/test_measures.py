"""The table of rendered people."""

import pyarrow as pa
import pytest
from pyarrow import parquet

from bolid.core.errors import BolidError
from bolid.core.measures import PEOPLE, RATIOS, read_bodies


def test_bodies_are_read_by_identity(tmp_path):
    rows = [
        {"identity": f"p{i}", "gender": "man" if i else "woman", "bmi": 20.0}
        | {r: i + k / 8 for k, r in enumerate(RATIOS)}
        for i in range(2)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / PEOPLE)
    bodies = read_bodies(tmp_path)
    assert [(who, body.gender) for who, body in bodies.items()] == [("p0", "woman"), ("p1", "man")]
    assert bodies["p1"].ratios.tolist() == [1 + k / 8 for k in range(len(RATIOS))]


def test_missing_and_foreign_tables_are_named(tmp_path):
    with pytest.raises(BolidError, match=r"people\.parquet: no such file"):
        read_bodies(tmp_path)
    (tmp_path / PEOPLE).write_text("not parquet")
    with pytest.raises(BolidError, match="not a readable table"):
        read_bodies(tmp_path)
    parquet.write_table(pa.table({"identity": ["p0"]}), tmp_path / PEOPLE)
    with pytest.raises(BolidError, match="not a readable table"):
        read_bodies(tmp_path)
