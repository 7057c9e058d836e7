import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from bolid.core.errors import BolidError
from bolid.vision.pose import PoseEstimator, others


@pytest.fixture
def pose(pose_folder):
    return PoseEstimator(pose_folder, min_score=0.0, min_confidence=0.0)


class Pinned(nn.Module):
    """Sees one person with all keypoints at one place of its input, and remembers what it was shown."""

    def __init__(self, x: float, y: float, score: float):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        found = torch.zeros(56, 2)
        found[:5, 1] = torch.tensor([x, y, 20.0, 40.0, score])
        found[5:, 1] = torch.tensor([x, y, 0.9]).repeat(17)
        self.register_buffer("found", found)

    def forward(self, pictures):
        self.seen = pictures
        return self.found.expand(len(pictures), -1, -1), {}


def pinned(pose, x, y, score=0.9):
    pose._held[0] = Pinned(x, y, score)
    return pose


@pytest.mark.parametrize("size", [(96, 128), (192, 256)])
def test_reads_pictures_like_ultralytics_own_predictor(pose_folder, pose, size):
    from ultralytics import YOLO

    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    picture = np.kron(small, np.ones((size[0] // 12, size[1] // 16, 1), np.uint8))
    yolo = YOLO(str(pose_folder / "pose.yaml"), task="pose", verbose=False)
    yolo.model.load_state_dict(pose.network.state_dict())
    yolo.overrides = {"task": "pose", "model": "pose.yaml"}
    theirs = yolo.predict(picture[..., ::-1], imgsz=128, conf=0.0, max_det=1, device="cpu", verbose=False, save=False)[
        0
    ]
    ours = pose(torch.from_numpy(picture).permute(2, 0, 1)[None] / 255)
    limit = torch.tensor(size[::-1])
    box, places = (
        v.clamp_min(0).minimum(m) for v, m in ((ours.box, limit.repeat(2)), (ours.keypoints[..., :2], limit))
    )
    close = {"atol": size[0] / 1000, "rtol": 0.0}
    torch.testing.assert_close(box, theirs.boxes.xyxy, **close)
    torch.testing.assert_close(places, theirs.keypoints.data[..., :2], **close)
    torch.testing.assert_close(ours.keypoints[..., 2], theirs.keypoints.conf, atol=1e-3, rtol=0)
    torch.testing.assert_close(ours.score, theirs.boxes.conf, atol=1e-3, rtol=0)


def test_places_come_back_in_pixels_of_the_picture(pose):
    # 96 x 64 grows by 4/3 to 128 x 85 (85/64 across) and gets 5 + 6 columns of grey.
    pose = pinned(pose, x=5 + 85 / 2, y=64)
    found = pose.estimate(torch.zeros(1, 3, 96, 64))
    torch.testing.assert_close(found.keypoints[0, 3], torch.tensor([32.0, 48.0, 0.9]))
    torch.testing.assert_close(found.box[0], torch.tensor([32 - 10 * 64 / 85, 33.0, 32 + 10 * 64 / 85, 63.0]))
    assert pose.network.seen.shape == (1, 3, 128, 96)
    torch.testing.assert_close(pose.network.seen[..., :5], torch.full((1, 3, 128, 5), 114 / 255))
    assert pose.network.seen[..., 5:90].abs().max() == 0


@pytest.mark.parametrize(("score", "somebody"), [(0.2, False), (0.3, True)])
def test_nobody_is_all_zeros(pose_folder, score, somebody):
    found = pinned(PoseEstimator(pose_folder, min_score=0.25), 48, 64, score).estimate(torch.zeros(2, 3, 96, 64))
    assert all((part.abs().sum() > 0) == somebody for part in found[:3])


def test_keypoints_outside_the_picture_are_undetected(pose):
    found = pinned(pose, x=2, y=64).estimate(torch.zeros(1, 3, 96, 64))  # in the grey border
    assert found.keypoints.abs().sum() == 0
    assert found.score > 0
    assert found.box[0, 0] == 0


def test_gradients_after_inference_mode_at_the_same_size(pose):
    pictures = torch.rand(2, 3, 96, 64, requires_grad=True)
    with torch.inference_mode():
        pose.estimate(pictures)
    pose(pictures).keypoints.sum().backward()
    assert pictures.grad.abs().sum() > 0


def test_owner_neither_saves_nor_trains_it_but_moves_it(pose):
    owner = nn.ModuleDict({"pose": pose}).train()
    assert not owner.state_dict()
    assert not list(owner.parameters())
    assert not pose.network.training
    assert not any(p.requires_grad for p in pose.network.parameters())
    owner.to(torch.float64)
    assert {p.dtype for p in pose.network.parameters()} == {torch.float64}


def test_missing_and_wrong_files_say_what_to_do(pose_folder, tmp_path):
    with pytest.raises(BolidError, match=r"nowhere.*pose\.yaml.*save_pose_model"):
        PoseEstimator(tmp_path / "nowhere")
    (tmp_path / "pose.yaml").write_text((pose_folder / "pose.yaml").read_text())
    with pytest.raises(BolidError, match=r"model\.safetensors"):
        PoseEstimator(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((pose_folder / "model.safetensors").read_bytes())
    (tmp_path / "pose.yaml").write_text((pose_folder / "pose.yaml").read_text().replace("0.0625", "0.125"))
    with pytest.raises(BolidError, match="is not the network"):
        PoseEstimator(tmp_path)
    with pytest.raises(BolidError, match="multiple of 32"):
        PoseEstimator(pose_folder, image_size=100)


def test_an_architecture_file_cannot_run_code(pose_folder, tmp_path):
    (tmp_path / "model.safetensors").write_bytes((pose_folder / "model.safetensors").read_bytes())
    evil = f"activation: __import__('pathlib').Path('{tmp_path}/owned').touch()\n"
    (tmp_path / "pose.yaml").write_text(evil + (pose_folder / "pose.yaml").read_text())
    with pytest.raises(BolidError):
        PoseEstimator(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_importing_ultralytics_leaves_the_process_as_it_was():
    code = (
        "import os, torch, cv2; from PIL import Image; torch.set_num_threads(3); cv2.setNumThreads(3)\n"
        "files = lambda: (torch.save, torch.load, Image.open, cv2.imread, cv2.imwrite, cv2.imshow)\n"
        "before = files()\n"
        "from bolid.vision.yolo import import_ultralytics; import_ultralytics()\n"
        "assert torch.get_num_threads() == 3 and cv2.getNumThreads() == 3 and files() == before\n"
        "assert 'OMP_NUM_THREADS' not in os.environ\n"
        "from ultralytics.utils import ONLINE; assert not ONLINE\n"
    )
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == 0


def seen(*people):
    """Candidates of which each is (x, y, width, height, score)."""
    found = torch.zeros(1, 56, len(people))
    found[0, :5] = torch.tensor(people).T
    return found


ANN = (50.0, 50.0, 40.0, 80.0, 0.9)


@pytest.mark.parametrize(
    ("people", "count"),
    [
        ([ANN], 0),
        ([ANN, (52.0, 51.0, 40.0, 78.0, 0.8)], 0),  # herself again
        ([ANN, (150.0, 50.0, 40.0, 80.0, 0.8)], 1),
        ([ANN, (150.0, 50.0, 40.0, 80.0, 0.8), (151.0, 50.0, 40.0, 80.0, 0.7), (250.0, 50.0, 20.0, 45.0, 0.6)], 2),
        ([ANN, (150.0, 50.0, 20.0, 39.0, 0.8)], 0),  # in the background
        ([ANN, (150.0, 50.0, 40.0, 80.0, 0.4)], 0),  # too unsure
        ([(50.0, 50.0, 40.0, 80.0, 0.1)], 0),
    ],
)
def test_counts_the_people_beside_the_likeliest(people, count):
    assert others(seen(*people), 0.5).tolist() == [count]
    swapped = seen(*people[::-1])
    assert others(swapped, 0.5).tolist() == [count]
