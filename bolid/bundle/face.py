"""Trains the bundle's face recogniser: a small residual network with ArcFace's loss, exported as ONNX."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.bundle.member import MemberTask
from bolid.bundle.metrics.face import FaceVerification, verification_auc
from bolid.core.errors import BolidError
from bolid.core.pictures import to_uint8
from bolid.core.safe_io import atomic_path
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import numbered
from bolid.vision.face import EMBEDDING, TEMPLATE_SIZE, FaceEmbedder, align_face


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm beside a strided shortcut."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class FaceNetwork(nn.Sequential):
    """Aligned faces (B, 3, 112, 112) in -1..1 to embeddings (B, 512) of any length."""

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 192)):
        stem = [nn.Conv2d(3, channels[0], 5, 2, 2, bias=False), nn.BatchNorm2d(channels[0]), nn.PReLU(channels[0])]
        blocks = [Residual(a, b) for a, b in zip(channels[:1] + channels[:-1], channels, strict=True)]
        grid = math.ceil(TEMPLATE_SIZE / 2 ** (len(channels) + 1))
        super().__init__(
            *stem, *blocks, nn.Flatten(), nn.Linear(channels[-1] * grid**2, 128, bias=False), nn.BatchNorm1d(128),
            nn.Linear(128, EMBEDDING, bias=False), nn.BatchNorm1d(EMBEDDING),
        )  # fmt: skip


class FaceTask(MemberTask):
    """ArcFace (Deng et al. 2019): softmax over people with an additive angular margin.

    Args:
        people: Number of classes; identities are mapped to them by their number, so that no list is needed.
        margin: Angular margin in radians.
        scale: Scale of the cosines.
        jitter: Largest change of brightness and contrast, as a share.
        wobble: Standard deviation of the landmarks' jitter, as a share of the distance between the eyes.
        kwargs: See `MemberTask`.
    """

    def __init__(
        self,
        people: int,
        margin: float = 0.3,
        scale: float = 24.0,
        jitter: float = 0.3,
        wobble: float = 0.06,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network = FaceNetwork()
        self.centres = nn.Parameter(torch.randn(people, EMBEDDING) * 0.05)
        self.margin, self.scale, self.jitter, self.wobble = margin, scale, jitter, wobble
        self.trained_buffers = tuple(f"network.{name}" for name, _ in self.network.named_buffers())  # batch norm's
        self.seen: list[tuple[Tensor, list[str]]] = []

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor | None:
        """Call, loss, log, return; None skips a batch with fewer than the two faces that batch norm needs."""
        generator = self.step_generator()
        faces, rows = align_faces(batch.pictures, self.shaken(batch.keypoints, generator))
        if len(rows) < 2:
            return None
        embedding = self.network(self.relit(faces, generator))
        target = self.classes([batch.identities[row] for row in rows])
        cosine = F.normalize(embedding) @ F.normalize(self.centres).T  # (B, people)
        hit = F.one_hot(target, len(self.centres)).bool()
        angle = cosine.clamp(-1 + 1e-6, 1 - 1e-6).acos()
        loss = F.cross_entropy(self.scale * torch.where(hit, (angle + self.margin).cos(), cosine), target)
        self.log_dict({"train/loss": loss, "train/top1": (cosine.argmax(1) == target).float().mean()}, prog_bar=True)
        return loss

    def classes(self, identities: list[str]) -> Tensor:
        """Rendered people are called p and a number: that number, modulo the classes, (B,)."""
        numbers = [name.removeprefix("p") for name in identities]
        if strange := [name for name, number in zip(identities, numbers, strict=True) if not number.isdecimal()]:
            raise BolidError(f"{strange[0]}: FaceTask needs identities with the numbers of rendered people (p000123)")
        return torch.tensor([int(number) % len(self.centres) for number in numbers], device=self.device)

    def shaken(self, keypoints: Tensor, generator: torch.Generator) -> Tensor:
        """Keypoints (B, 17, 3) a little off, as a pose network's are."""
        eyes = (keypoints[:, 1, :2] - keypoints[:, 2, :2]).norm(dim=1)[:, None, None]
        noise = torch.randn(keypoints[..., :2].shape, generator=generator, device=self.device)
        return torch.cat([keypoints[..., :2] + self.wobble * eyes * noise, keypoints[..., 2:]], -1)

    def relit(self, faces: Tensor, generator: torch.Generator) -> Tensor:
        """Faces (N, 3, 112, 112) in -1..1 in another light, on this device."""
        light = self.jitter * (2 * torch.rand(2, len(faces), 1, 1, 1, generator=generator, device=self.device) - 1)
        return (faces.to(self.device) * (1 + light[0]) + light[1]).clamp(-1, 1)

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Collects embeddings of unseen people."""
        faces, rows = align_faces(batch.pictures, batch.keypoints)
        embeddings = F.normalize(self.network(faces.to(self.device))).float().cpu()
        self.seen.append((embeddings, [batch.identities[row] for row in rows]))

    def on_validation_epoch_end(self) -> None:
        """Area under the curve of same-person against other-person cosines."""
        embeddings, names = torch.cat([e for e, _ in self.seen]), [n for _, batch in self.seen for n in batch]
        self.seen = []
        self.log("val/auc", verification_auc(embeddings, numbered(names)), prog_bar=True, sync_dist=True)

    def new_score(self, folder: Path) -> FaceVerification:
        """Verification of faces that the recogniser accepts."""
        return FaceVerification(FaceEmbedder(folder))

    def export(self, folder: Path) -> None:
        """Writes `face.onnx`."""
        export_face(self.network, folder)


def export_face(network: FaceNetwork, folder: Path) -> None:
    """Writes `face.onnx`, which `insightface.model_zoo` loads, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    axes = {"input.1": {0: "batch"}, "embedding": {0: "batch"}}
    with atomic_path(folder / "face.onnx") as file:
        torch.onnx.export(
            copy.deepcopy(network).eval().cpu(), (torch.zeros(1, 3, TEMPLATE_SIZE, TEMPLATE_SIZE),), str(file),
            dynamo=False, input_names=list(axes)[:1], output_names=list(axes)[1:], dynamic_axes=axes,
        )  # fmt: skip


def align_faces(pictures: Tensor, keypoints: Tensor) -> tuple[Tensor, list[int]]:
    """The faces that `FaceEmbedder` would embed, as it aligns them.

    Args:
        pictures: (B, 3, H, W) in -1..1.
        keypoints: (B, 17, 3) pixels.

    Returns:
        (N, 3, 112, 112) in -1..1 on the CPU, and the N samples they are of.
    """
    points = keypoints.float().cpu().numpy()
    found = [align_face(photo, p) for photo, p in zip(to_uint8(pictures * 0.5 + 0.5), points, strict=True)]
    faces = {row: face for row, face in enumerate(found) if face is not None}
    stacked = np.array(list(faces.values())).reshape(-1, TEMPLATE_SIZE, TEMPLATE_SIZE, 3)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1, list(faces)
