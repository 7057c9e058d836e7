"""Trains the bundle's pose network: a narrow YOLO11-pose with ultralytics' own loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bolid.bundle.member import MemberTask
from bolid.bundle.metrics.pose import PoseMAP50
from bolid.core.boxes import silhouette_boxes
from bolid.core.schema import TrainingBatch
from bolid.losses.body_vae import silhouette_known
from bolid.tasks.coverage import Part
from bolid.vision.pose import PoseEstimator, save_pose_model
from bolid.vision.yolo import import_ultralytics


def new_pose_model(depth: float, width: float) -> Any:
    """An untrained YOLO11-pose for one class, the person; `depth` and `width` scale it (n is .5, .25)."""
    import_ultralytics()
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import PoseModel, yaml_model_load

    architecture = yaml_model_load("yolo11n-pose.yaml") | {"nc": 1, "scales": {"q": [depth, width, 1024]}, "scale": "q"}
    model = PoseModel(architecture, ch=3, verbose=False)
    model.args = get_cfg()  # the gains of the loss's terms
    return model


class PoseTask(MemberTask):
    """Box, keypoint and confidence losses of YOLO-pose on photos of one person with a silhouette.

    Args:
        depth: Depth multiple of the architecture.
        width: Width multiple of the architecture.
        image_size: Longer side in pixels of the photos; what the network is used on is scaled to it.
        jitter: Largest change of brightness and contrast in training, as a share.
        kwargs: See `MemberTask`.
    """

    network: Any  # ultralytics' PoseModel

    def __init__(
        self, depth: float = 0.5, width: float = 0.125, image_size: int = 96, jitter: float = 0.3, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.network = new_pose_model(depth, width)
        self.image_size, self.jitter = image_size, jitter
        self.trained_buffers = tuple(f"network.{name}" for name, _ in self.network.named_buffers())  # batch norm's

    def parts(self) -> dict[str, Part]:
        """See `BaseTask.parts`; boxes are those of silhouettes."""
        return {"pose": Part(silhouette_known, "photos with a silhouette", "data.folder to such photos")}

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        generator = self.step_generator()
        spread = 1 + self.jitter * (2 * torch.rand(2, len(batch), 1, 1, 1, generator=generator, device=self.device) - 1)
        loss = self.loss((batch.pictures * spread[0] + spread[1] - 1).clamp(-1, 1), batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The same loss."""
        self.log("val/loss", self.loss(batch.pictures, batch), prog_bar=True, batch_size=len(batch), sync_dist=True)

    def loss(self, pictures: Tensor, batch: TrainingBatch) -> Tensor:
        """YOLO-pose's loss a sample, on images (B, 3, H, W) in -1..1: scalar."""
        size = batch.keypoints.new_tensor([pictures.shape[-1], pictures.shape[-2], 1.0])
        keypoints = batch.keypoints / size
        labels = {
            "img": pictures * 0.5 + 0.5,
            "batch_idx": torch.arange(len(pictures), device=self.device),
            "cls": torch.zeros(len(pictures), 1, device=self.device),
            "bboxes": silhouette_boxes(batch.silhouettes),
            "keypoints": torch.cat([keypoints[..., :2], (keypoints[..., 2:] > 0) * 2.0], -1),
        }
        return self.network.loss(labels)[0].sum() / len(pictures)

    def new_score(self, folder: Path) -> PoseMAP50:
        """Average precision of boxes and keypoints."""
        return PoseMAP50(PoseEstimator(folder))

    def export(self, folder: Path) -> None:
        """Writes `pose.yaml` and `model.safetensors`."""
        save_pose_model(self.network, folder, self.image_size)
