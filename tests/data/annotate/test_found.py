"""Keypoints that a network finds: once, for encoders only, and never in place of the truth."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bolid.bundle.pose import new_pose_model
from bolid.core.errors import BolidError
from bolid.data.annotate.found import find_keypoints, found_table, read_found
from bolid.data.dataset import LeaveOneOutDataset
from bolid.data.specs import ReferenceSpec, SplitSpec
from bolid.synthetic import people
from bolid.vision.pose import save_pose_model
from tests.data.fabricate import fabricate
from tests.synthetic.test_datamodule import Draughtsman, small


class Finder:
    """Finds all joints of a picture at its mean colour."""

    def __init__(self):
        self.seen = 0

    def estimate(self, pictures):
        self.seen += len(pictures)
        assert 0 <= pictures.min() <= pictures.max() <= 1
        return SimpleNamespace(keypoints=pictures.mean((2, 3))[:, None].expand(-1, 17, 3))


def test_photos_are_looked_at_once_per_network_and_broken_ones_show_nobody(tmp_path):
    records = fabricate(tmp_path, {"train": 3}, photos=2)
    (tmp_path / records[1].file_name).write_bytes(b"broken")
    finder = Finder()
    first = find_keypoints(records[:4], tmp_path, lambda: finder, "a" * 64)
    assert finder.seen == 3
    assert not first[records[1].file_name].any()
    found = find_keypoints(records, tmp_path, lambda: finder, "a" * 64)
    assert finder.seen == 5
    assert found.keys() == {r.file_name for r in records}
    assert all(points.shape == (17, 3) and points.dtype == np.float32 for points in found.values())
    again = find_keypoints(records, tmp_path, lambda: pytest.fail("loaded for nothing"), "a" * 64)
    assert all(np.array_equal(again[name], points) for name, points in found.items())
    assert read_found(found_table(tmp_path, "b" * 64)) == {}


def test_a_broken_table_is_named(tmp_path):
    table = found_table(tmp_path, "a" * 64)
    table.parent.mkdir()
    table.write_bytes(b"PAR1 nothing")
    with pytest.raises(BolidError, match=rf"{table.name}.*delete it"):
        find_keypoints(fabricate(tmp_path, {"train": 1}), tmp_path, Finder, "a" * 64)


def test_encoders_are_told_what_was_found_and_losses_the_truth(tmp_path):
    records = fabricate(tmp_path, {"train": 2}, photos=3)
    moved = [replace(r, keypoints_found=np.minimum(r.keypoints, 20).astype(np.float32)) for r in records]
    options = (48, 32), ReferenceSpec((48, 32)), SplitSpec("person"), False
    plain, told = (LeaveOneOutDataset(photos, tmp_path, *options)[0] for photos in (records, moved))
    assert torch.equal(plain.keypoints, plain.keypoints_found)
    assert torch.equal(told.keypoints, plain.keypoints)
    assert not torch.equal(told.keypoints_found, plain.keypoints)
    assert not torch.equal(told.references.keypoints, plain.references.keypoints)


def test_rendered_people_are_looked_at_by_the_network_that_the_setting_names(tmp_path, monkeypatch):
    monkeypatch.setattr(people, "render_people", Draughtsman())
    weights = tmp_path / "pose"
    save_pose_model(new_pose_model(0.33, 0.0625), weights, 96)
    module = small(tmp_path / "people", pose_estimator=weights)
    module.prepare_data()
    module.setup("fit")
    assert all(r.keypoints_found is not None for r in module.splits["train"])
    with pytest.raises(BolidError, match=r"nowhere.*pose_estimator"):
        small(tmp_path / "people", pose_estimator=Path("nowhere")).prepare_data()
