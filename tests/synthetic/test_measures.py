"""The table of rendered people, and what is average among them."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from bolid.core.errors import BolidError
from bolid.synthetic.measures import CALIBRATION, PEOPLE, RATIOS, Body, read_bodies, standardise


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


def test_bodies_are_told_as_deviations_from_the_average_of_their_gender():
    rng = np.random.default_rng(0)
    truth, genders = rng.normal(0, 1, (6, len(RATIOS))), ["woman", "man", "man", "woman", "man", "woman"]
    bodies = []
    for row, gender in zip(truth, genders, strict=True):
        measured = [np.float64(CALIBRATION[gender][name]) @ [1, z] for name, z in zip(RATIOS, row, strict=True)]
        bodies.append(Body(gender, torch.tensor(measured, dtype=torch.float32)))
    found = standardise(bodies)
    np.testing.assert_allclose(found.numpy(), truth, atol=1e-4)
    assert torch.equal(standardise(bodies[2:3]), found[2:3])
    as_if_a_woman = standardise([bodies[1]._replace(gender="woman")])
    assert not torch.allclose(as_if_a_woman, found[1:2], atol=0.1)
