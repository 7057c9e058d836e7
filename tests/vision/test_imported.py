"""A user's own checkpoints become files that need no unpickling, and hostile ones run nothing."""

import shutil
from pathlib import Path

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.vision.imported import import_recogniser, import_yolo
from bolid.vision.pose import PoseEstimator, load_pose_model


@pytest.fixture(scope="module")
def checkpoint(pose_folder, tmp_path_factory):
    """A checkpoint as ultralytics writes one: the network itself, in half precision, pickled."""
    import numpy as np

    file = tmp_path_factory.mktemp("yolo") / "yolo11q-pose.pt"
    model = load_pose_model(pose_folder)
    held = {"epoch": -1, "best_fitness": np.float64(0.5), "model": model.half(), "ema": None, "optimizer": None}
    torch.save(held | {"train_args": {"imgsz": 128, "task": "pose"}, "date": "2024-09-01", "version": "8.3.0"}, file)
    return file


def test_a_checkpoint_of_ultralytics_becomes_the_same_network(checkpoint, pose_folder, tmp_path):
    import_yolo(checkpoint, tmp_path / "pose")
    ours, theirs = PoseEstimator(tmp_path / "pose"), PoseEstimator(pose_folder)
    assert ours.image_size == 128
    assert sorted(path.name for path in (tmp_path / "pose").iterdir()) == ["model.safetensors", "pose.yaml"]
    state, expected = ours.network.state_dict(), theirs.network.state_dict()
    assert state.keys() == expected.keys()
    assert all(
        torch.equal(state[name], tensor.half().float())
        for name, tensor in expected.items()
        if tensor.is_floating_point()
    )
    theirs.network.half().float()
    pictures = torch.rand(1, 3, 96, 64)
    torch.testing.assert_close(ours(pictures).keypoints, theirs(pictures).keypoints)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("place", ["model", "train_args", "date"])
def test_what_runs_code_is_refused_and_runs_none(tmp_path, place):
    torch.save({"model": None, place: Evil(tmp_path / "owned")}, tmp_path / "evil.pt")
    with pytest.raises(BolidError, match="not a checkpoint that can be read safely"):
        import_yolo(tmp_path / "evil.pt", tmp_path / "out")
    assert not (tmp_path / "owned").exists()
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(tmp_path, checkpoint):
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "linear.pt")
    torch.save([1], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("text")
    (tmp_path / "short.pt").write_bytes(checkpoint.read_bytes()[:5000])
    for name, message in (
        ("linear", "it holds Linear"),
        ("list", "no checkpoint"),
        ("text", "safely"),
        ("short", "safely"),
    ):
        with pytest.raises(BolidError, match=message):
            import_yolo(tmp_path / f"{name}.pt", tmp_path / "out")
    with pytest.raises(BolidError, match="no such file"):
        import_yolo(tmp_path / "absent.pt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_recogniser_of_a_pack_is_copied(face_onnx, tmp_path):
    pack = tmp_path / "buffalo_l"
    pack.mkdir()
    shutil.copy(face_onnx, pack / "w600k_r50.onnx")
    found = import_recogniser(pack, tmp_path / "out")
    assert found == tmp_path / "out/w600k_r50.onnx"
    assert found.read_bytes() == face_onnx.read_bytes()
    (pack / "w600k_r50.onnx").unlink()
    with pytest.raises(BolidError, match="no face recogniser"):
        import_recogniser(pack, tmp_path / "out")
