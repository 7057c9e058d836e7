"""The bundle that is shipped is the exported members, in half precision where that is harmless."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bolid.bundle.pack import MEMBERS, pack_bundle
from bolid.core.errors import BolidError


@pytest.fixture
def runs(tmp_path):
    """Every member."""
    for source in MEMBERS:
        folder = tmp_path / "runs" / source / "part"
        folder.mkdir(parents=True)
        weights = {
            "weight": torch.tensor([1.0, 1e-9, 70.5]), "norm.running_var": torch.tensor([1e-9]),
            "steps": torch.tensor([3]), "half": torch.ones(1).half(),
        }  # fmt: skip
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text('{"_name_or_path": "/home/me/runs", "width": 3}')
    return tmp_path / "runs"


def test_members_are_copied_and_halved(runs, tmp_path):
    bundle, names = tmp_path / "tiny", set(MEMBERS.values())
    (bundle / "pose").mkdir(parents=True)
    (bundle / "pose/old.txt").write_text("of the bundle before")
    (bundle / "README.md").write_text("kept")
    assert "MB" in pack_bundle(runs, bundle)
    assert {p.name for p in bundle.iterdir()} == {*names, "README.md", "scores.json"}
    assert not (bundle / "pose/old.txt").exists()
    for name in names:
        weights = load_file(bundle / name / "part/model.safetensors")
        assert weights["weight"].tolist() == [1.0, 0.0, 70.5]
        assert {weights[half].dtype for half in ("weight", "half")} == {torch.float16}
        assert weights["norm.running_var"] == torch.tensor([1e-9])
        assert weights["steps"].dtype == torch.int64
        assert json.loads((bundle / name / "part/config.json").read_text()) == {"width": 3}
    original = load_file(runs / "tiny/pose/pose/part/model.safetensors")
    assert original["weight"].dtype == torch.float32


def test_members_that_were_not_trained_stay(runs, tmp_path):
    pack_bundle(runs, tmp_path / "tiny")
    (tmp_path / "tiny/scores.json").write_text('{"face/auc": 0.5, "pose/map50": 0.5}')
    again = tmp_path / "again/tiny/face/face"
    again.parent.mkdir(parents=True)
    (runs / "tiny/face/face").rename(again)
    (again / "new.txt").write_text("")
    (tmp_path / "again/tiny/body_vae/body_vae").mkdir(parents=True)  # where a fit is to export to
    (again.parent / "report.json").write_text('{"auc": 0.75}')
    pack_bundle(tmp_path / "again", tmp_path / "tiny")
    assert (tmp_path / "tiny/face/new.txt").is_file()
    assert (tmp_path / "tiny/pose/part/model.safetensors").is_file()
    assert (tmp_path / "tiny/body_vae/part/model.safetensors").is_file()
    assert json.loads((tmp_path / "tiny/scores.json").read_text()) == {"face/auc": 0.75, "pose/map50": 0.5}


def test_no_member_is_an_error_and_nothing_is_touched(tmp_path):
    with pytest.raises(BolidError, match="holds no member"):
        pack_bundle(tmp_path, tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


def test_scores_are_those_of_the_runs_reports(runs, tmp_path):
    (runs / "tiny/vae").mkdir()  # no member of its own
    (runs / "tiny/vae/report.json").write_text('{"psnr": 28.5, "psnr/full_length": 27.0, "pictures": 8, "seed": 0}')
    (runs / "tiny/face/report.json").write_text('{"verification_auc": 0.75}')
    pack_bundle(runs, tmp_path / "tiny")
    assert json.loads((tmp_path / "tiny/scores.json").read_text()) == {
        "face/verification_auc": 0.75,
        "vae/psnr": 28.5,
        "vae/psnr/full_length": 27.0,
        "vae/pictures": 8,
        "vae/seed": 0,
    }
