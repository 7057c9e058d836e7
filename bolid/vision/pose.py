"""Pose networks: COCO-17 keypoints of people in images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert, nms

from bolid.core.errors import BolidError
from bolid.core.paths import find_folder
from bolid.core.safe_io import atomic_path, load_safetensors, write_text
from bolid.vision.base import Frozen
from bolid.vision.found import People, Pose
from bolid.vision.yolo import import_ultralytics

CONFIG, WEIGHTS = "pose.yaml", "model.safetensors"
STRIDE = 32
SURE = 0.5  # minimum score of a second person in a photo
BORDER = 114 / 255  # grey padding of YOLO networks


class PoseNetwork(nn.Module, ABC):
    """Base class of pose networks for metrics, losses and annotation.

    Attributes:
        min_score: Minimum score of a person.
    """

    min_score: float

    @abstractmethod
    def forward(self, pictures: Tensor) -> Pose:
        """The most likely person of each of (B, 3, H, W) images in 0..1, whatever the score, with gradients to them."""

    @abstractmethod
    def estimate(self, pictures: Tensor, count_others: bool = False) -> Pose:
        """The person of each of (B, 3, H, W) images in 0..1; all zeros if there is none."""


class PoseEstimator(Frozen, PoseNetwork):
    """A YOLO pose network from ultralytics, frozen.

    Args:
        weights: Folder with `pose.yaml` (the architecture) and `model.safetensors`; see `save_pose_model`.
        image_size: Longer side of the network's input in pixels, a multiple of 32; by default that of its training in
            `pose.yaml`.
        min_score: Minimum score of a person.
        min_confidence: Minimum confidence of a keypoint.

    Raises:
        BolidError: If the folder, or a file in it, is missing or does not fit.
    """

    def __init__(
        self, weights: Path, image_size: int | None = None, min_score: float = 0.25, min_confidence: float = 0.1
    ) -> None:
        network = load_pose_model(weights)
        super().__init__(network)
        self.image_size = image_size or network.yaml.get("image_size", 640)
        if self.image_size <= 0 or self.image_size % STRIDE:
            raise BolidError(f"PoseEstimator: image_size is {self.image_size}; give a positive multiple of {STRIDE}.")
        self.min_score = min_score
        self.min_confidence = min_confidence
        # Anchors would be cached per image size, and a cache made in inference mode breaks later gradients.
        network.model[-1].dynamic = True

    def forward(self, pictures: Tensor) -> Pose:
        """The most likely person of each image, unfiltered, with gradients to the images.

        Args:
            pictures: (B, 3, H, W) in 0..1.

        Returns:
            The pose in pixels of the H x W images, whatever its score.
        """
        return likeliest(self.candidates(pictures))

    def candidates(self, pictures: Tensor) -> Tensor:
        """The candidates of all anchors, unfiltered, with gradients to the images.

        Args:
            pictures: (B, 3, H, W) in 0..1.

        Returns:
            (B, 56, anchors) float32: the box's centre, width and height in pixels of the H x W images, the score of a
            person, and 17 times x and y in pixels and confidence.
        """
        boxed, scale, offset = self._letterbox(pictures)
        with torch.autocast(pictures.device.type, enabled=False):  # half precision rounds coordinates to whole pixels
            found = self.network(boxed)[0].float()  # (B, 4 + classes + 51, anchors)
        scale, offset = scale[:, None], offset[:, None]
        centre, extent = (found[:, :2] - offset) / scale, found[:, 2:4] / scale
        points = found[:, -51:].unflatten(1, (17, 3))  # (B, 17, 3, anchors)
        keypoints = torch.cat([(points[:, :, :2] - offset) / scale, points[:, :, 2:]], 2)
        return torch.cat([centre, extent, found[:, 4:5], keypoints.flatten(1, 2)], 1)  # class 0 is the person

    @torch.no_grad()
    def estimate(self, pictures: Tensor, count_others: bool = False) -> Pose:
        """The person of each image, (B, 3, H, W) in 0..1; all zeros if there is none.

        Keypoints outside the image or below `min_confidence` are undetected (all zero); boxes are clipped to the image.
        """
        found = self.candidates(pictures)
        keypoints, box, score, _ = likeliest(found)
        limit = keypoints.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        places, confidence = keypoints[..., :2], keypoints[..., 2]
        seen = ((places >= 0) & (places < limit)).all(-1) & (confidence >= self.min_confidence)
        detected = score >= self.min_score
        keypoints = torch.where((seen & detected[:, None])[..., None], keypoints, 0.0)
        box = torch.where(detected[:, None], box.clamp_min(0).minimum(limit.repeat(2)), 0.0)
        further = others(found, max(self.min_score, SURE)) if count_others else None
        return Pose(keypoints, box, torch.where(detected, score, 0.0), further)

    @torch.no_grad()
    def people(self, pictures: Tensor) -> list[People]:
        """All people in each of (B, 3, H, W) images in 0..1; further ones have a score of at least `SURE`.

        Keypoints outside the image or below `min_confidence` are undetected (all zero); boxes are clipped to the image.
        """
        limit = pictures.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        return [self._distinct(candidates, limit) for candidates in self.candidates(pictures).mT]

    def _distinct(self, found: Tensor, limit: Tensor) -> People:
        """The people among candidates (anchors, 56) without duplicates, in an image of `limit` width and height."""
        found = found[found[:, 4] >= self.min_score]
        found = found[found[:, 4].argsort(descending=True)]
        corners = box_convert(found[:, :4], "cxcywh", "xyxy")
        kept = [k for rank, k in enumerate(nms(corners, found[:, 4], 0.5).tolist()) if rank == 0 or found[k, 4] >= SURE]
        points = found[kept, 5:].unflatten(1, (17, 3))
        seen = ((points[..., :2] >= 0) & (points[..., :2] < limit)).all(-1) & (points[..., 2] >= self.min_confidence)
        boxes = corners[kept].clamp_min(0).minimum(limit.repeat(2))
        return People(torch.where(seen[..., None], points, 0.0), boxes, found[kept, 4])

    def _letterbox(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        height, width = pictures.shape[-2:]
        ratio = self.image_size / max(height, width)
        inner = max(1, round(height * ratio)), max(1, round(width * ratio))
        spare = [-side % STRIDE for side in inner]
        top, left = spare[0] // 2, spare[1] // 2
        dtype = next(self.network.parameters()).dtype
        resized = F.interpolate(pictures.to(dtype), inner, mode="bilinear", antialias=ratio < 1, align_corners=False)
        boxed = F.pad(resized, [left, spare[1] - left, top, spare[0] - top], value=BORDER)
        scale = pictures.new_tensor([inner[1] / width, inner[0] / height], dtype=torch.float32)
        return boxed, scale, pictures.new_tensor([left, top], dtype=torch.float32)


def likeliest(found: Tensor) -> Pose:
    """The candidate of each image with the highest score, of (B, 56, anchors)."""
    best = found[torch.arange(len(found)), :, found[:, 4].argmax(1)]  # (B, 56)
    return Pose(best[:, 5:].unflatten(1, (17, 3)), box_convert(best[:, :4], "cxcywh", "xyxy"), best[:, 4])


def others(found: Tensor, min_score: float) -> Tensor:
    """Number of people besides the most likely one and at least half as tall: (B, 56, anchors) -> (B,) int64.

    Candidates whose boxes overlap by half are one person; smaller people are background.
    """
    counts = []
    for candidates in found.mT:  # (anchors, 56)
        tall = candidates[:, 3] >= candidates[candidates[:, 4].argmax(), 3] / 2
        people = candidates[tall & (candidates[:, 4] >= min_score)]
        kept = nms(box_convert(people[:, :4], "cxcywh", "xyxy"), people[:, 4], 0.5)
        counts.append(max(0, len(kept) - 1))
    return torch.tensor(counts, device=found.device)


def load_pose_model(folder: Path) -> Any:
    """Builds the ultralytics `PoseModel` of a folder written by `save_pose_model`, on the CPU.

    Raises:
        BolidError: If a file is missing or the two do not fit.
    """
    import yaml

    remedy = f"a pose network is {CONFIG} and {WEIGHTS}, which bolid.vision.pose.save_pose_model writes"
    folder = find_folder(folder, CONFIG, f"{remedy} from any ultralytics YOLO pose network; data/tiny/pose is one.")
    state = load_safetensors(folder / WEIGHTS)
    import_ultralytics()
    from ultralytics.nn.tasks import PoseModel

    try:
        architecture = yaml.safe_load((folder / CONFIG).read_text())
        network = PoseModel(architecture, ch=3, verbose=False)
        network.load_state_dict(state)
    except (yaml.YAMLError, RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise BolidError(f"{folder}: {WEIGHTS} is not the network that {CONFIG} describes ({reason}).") from error
    return network.float()


def save_pose_model(model: Any, folder: Path, image_size: int = 640) -> None:
    """Writes an ultralytics pose network as `pose.yaml` and `model.safetensors`, which need no unpickling.

    Args:
        model: The `PoseModel`, e.g. `YOLO("yolo11n-pose.pt").model`; converted to float32.
        folder: Output folder, created if absent.
        image_size: Longer side in pixels of the images it was trained on.
    """
    import yaml
    from safetensors.torch import save_file

    # The checkpoint's own dictionary overrides the published YAML, which has another number of classes.
    architecture = {
        **model.yaml,
        "nc": model.model[-1].nc,
        "scale": model.yaml.get("scale") or next(iter(model.yaml.get("scales", {})), ""),
        "kpt_shape": list(model.kpt_shape),
        "image_size": image_size,
    }
    architecture.pop("yaml_file", None)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.float().state_dict().items()}
    with atomic_path(Path(folder) / WEIGHTS) as temporary:
        save_file(state, temporary)
    write_text(Path(folder) / CONFIG, yaml.safe_dump(architecture, sort_keys=False, default_flow_style=None))
