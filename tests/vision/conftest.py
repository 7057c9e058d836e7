"""Tiny networks with random weights, in the layouts of the real ones."""

import pytest
import torch
from torch import nn

from bolid.vision.clip import save_clip_model
from bolid.vision.pose import save_pose_model
from bolid.vision.yolo import import_ultralytics
from tests.vision.vision_fakes import TINY_CLIP


@pytest.fixture(scope="session")
def pose_folder(tmp_path_factory):
    import_ultralytics()
    from ultralytics.nn.tasks import PoseModel, yaml_model_load

    torch.manual_seed(0)
    config = yaml_model_load("yolo11n-pose.yaml") | {"scales": {"q": [0.5, 0.0625, 1024]}, "scale": "q", "nc": 1}
    model = PoseModel(config, ch=3, verbose=False)
    for module in model.modules():  # fresh networks answer nearly the same everywhere
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.weight, 1, 3)
    folder = tmp_path_factory.mktemp("pose")
    save_pose_model(model, folder, image_size=128)
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    import open_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip") / "Tiny-CLIP"
    save_clip_model(open_clip.CLIP(**TINY_CLIP), TINY_CLIP, folder)
    return folder


@pytest.fixture(scope="session")
def recogniser():
    torch.manual_seed(0)
    return nn.Sequential(nn.AvgPool2d(14), nn.Flatten(), nn.Linear(3 * 8 * 8, 512)).eval()


@pytest.fixture(scope="session")
def face_onnx(recogniser, tmp_path_factory):
    path = tmp_path_factory.mktemp("face") / "face.onnx"
    torch.onnx.export(recogniser, (torch.zeros(1, 3, 112, 112),), str(path), dynamo=False,
                      input_names=["x"], dynamic_axes={"x": {0: "n"}})  # fmt: skip
    return path
