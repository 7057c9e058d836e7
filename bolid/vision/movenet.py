"""MoveNet MultiPose: COCO-17 keypoints of up to six people per photograph."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_area

from bolid.core.errors import BolidError
from bolid.core.keypoints import object_similarity
from bolid.core.safe_io import load_safetensors, sha256
from bolid.vision.base import Frozen
from bolid.vision.found import People, Pose, first_of
from bolid.vision.mobilenet import MobileNetPyramid, head
from bolid.vision.movenet_decode import Found, Maps, decode
from bolid.vision.networks import network
from bolid.vision.pose import PoseNetwork

MULTIPLE = 32  # the sides of the network's input are multiples of it
HEADS = {"centre": 1, "size": 2, "shift": 2, "heat": 17, "regression": 34, "offset": 34}
SURE = 0.3  # minimum score of a further person in an image
SAME_PERSON = 0.6  # minimum similarity of the keypoints of duplicate candidates


class MoveNetNetwork(nn.Module):
    """The network from images to `Maps`."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = MobileNetPyramid()
        self.heads = nn.ModuleDict({name: head(outputs) for name, outputs in HEADS.items()})

    def forward(self, pictures: Tensor) -> Maps:
        """(B, 3, H, W) in 0..1, sides multiples of 32 -> maps of a quarter of that size."""
        features = self.backbone(pictures * (255 * 0.007843017578125) - 1)  # the published factor, 2 / 255 in float16
        maps = {name: reader(features) for name, reader in self.heads.items()}
        paired = {name: maps[name].unflatten(1, (17, 2)) for name in ("regression", "offset")}
        return Maps(**(maps | paired))


class MoveNet(Frozen, PoseNetwork):
    """MoveNet MultiPose, frozen, for real people. Images are resized to the network's input.

    Args:
        weights: Converted weights; by default those of `bolid networks get movenet` in the cache folder.
        image_size: Longer side of the network's input in pixels, a multiple of 32. It was trained at 256; at 384 it is
            more accurate and finds smaller people.
        close_ups: Further input sizes of `people` and `estimate`, since faces that fill the image are found at smaller
            sizes only. Of duplicates at several sizes the one with the highest score is kept.
        min_score: Minimum score of a person.
        min_confidence: Minimum confidence of a keypoint.

    Raises:
        BolidError: If the weights are missing or of another network, or a setting is invalid.

    Attributes:
        fingerprint: SHA-256 of the weights' file.
    """

    def __init__(
        self,
        weights: Path | None = None,
        image_size: int = 384,
        close_ups: tuple[int, ...] = (256, 128),
        min_score: float = 0.2,
        min_confidence: float = 0.1,
    ) -> None:
        if wrong := [size for size in (image_size, *close_ups) if size <= 0 or size % MULTIPLE]:
            raise BolidError(f"MoveNet: a size is {wrong[0]}; give positive multiples of {MULTIPLE}")
        path = network("movenet") if weights is None else Path(weights)
        super().__init__(load(path))
        self.fingerprint = sha256(path)
        self.sizes = (image_size, *close_ups)
        self.min_score, self.min_confidence = min_score, min_confidence

    def forward(self, pictures: Tensor) -> Pose:
        """The most likely person of each image, unfiltered, with gradients to the images.

        The choice of a keypoint's cell in the network's map has no gradient. Keypoints have the gradients of their
        offset within the cell and of the regression from the person's centre, see `decode`; confidence, box and score
        have their own.

        Args:
            pictures: (B, 3, H, W) in 0..1.

        Returns:
            The pose in pixels of the H x W images, whatever its score.
        """
        found = self.candidates(pictures, self.sizes[0])
        rows, best = torch.arange(len(pictures), device=pictures.device), found.scores.argmax(1)
        keypoints = torch.cat([found.keypoints, found.confidence[..., None]], -1)
        return Pose(keypoints[rows, best], found.boxes[rows, best], found.scores[rows, best])

    def candidates(self, pictures: Tensor, size: int) -> Found:
        """Six candidates per image (B, 3, H, W) in 0..1, in its pixels, with gradients to it.

        Args:
            pictures: Images of any size.
            size: Longer side of the network's input in pixels.
        """
        height, width = pictures.shape[-2:]
        ratio = size / max(height, width)
        inner = max(1, round(height * ratio)), max(1, round(width * ratio))
        dtype = next(self.network.parameters()).dtype
        resized = F.interpolate(pictures.to(dtype), inner, mode="bilinear", antialias=ratio < 1, align_corners=False)
        padded = F.pad(resized, [0, -inner[1] % MULTIPLE, 0, -inner[0] % MULTIPLE])
        with torch.autocast(pictures.device.type, enabled=False):  # half precision rounds coordinates to whole pixels
            found = decode(Maps(*(maps.float() for maps in self.network(padded))))
        scale = found.boxes.new_tensor([width / inner[1], height / inner[0]])
        return found._replace(keypoints=found.keypoints * scale, boxes=found.boxes * scale.repeat(2))

    @torch.no_grad()
    def people(self, pictures: Tensor) -> list[People]:
        """All people in each of (B, 3, H, W) images in 0..1 by score, without duplicates.

        Keypoints outside the image or below `min_confidence` are undetected (all 0); boxes are clipped to the image.
        """
        looks = [self.candidates(pictures, size) for size in self.sizes]
        found = Found(*(torch.cat(parts, 1) for parts in zip(*looks, strict=True)))  # (B, n, …)
        limit = found.boxes.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        seen = ((found.keypoints >= 0) & (found.keypoints < limit)).all(-1) & (found.confidence >= self.min_confidence)
        points = torch.cat([found.keypoints, found.confidence[..., None]], -1)  # (B, n, 17, 3)
        shown = torch.where(seen[..., None], points, 0.0)
        boxes = found.boxes.minimum(limit.repeat(2))
        everybody = []
        for person in range(len(pictures)):
            kept = self._distinct(points[person], boxes[person], found.scores[person])
            everybody.append(People(shown[person, kept], boxes[person, kept], found.scores[person, kept]))
        return everybody

    def _distinct(self, points: Tensor, boxes: Tensor, scores: Tensor) -> list[int]:
        """Indices of candidates without duplicates, by score: (n, 17, 3), (n, 4), (n,)."""
        poses, areas = points.cpu().numpy(), box_area(boxes).cpu().numpy()
        kept: list[int] = []
        for index in scores.argsort(descending=True).tolist():
            same = [object_similarity(poses[index], poses[other], areas[other]) > SAME_PERSON for other in kept]
            if scores[index] >= self.min_score and not any(same):
                kept.append(index)
        return kept

    def estimate(self, pictures: Tensor, count_others: bool = False) -> Pose:
        """The most likely person of each image, (B, 3, H, W) in 0..1; all zeros if there is none.

        With `count_others`, `others` is the number of further people at least half as tall.
        """
        return first_of(self.people(pictures), pictures, SURE, count_others)


def load(path: Path) -> MoveNetNetwork:
    """Loads the network of a converted file.

    Raises:
        BolidError: If it is missing or holds another network.
    """
    made = MoveNetNetwork()
    try:
        made.load_state_dict(load_safetensors(path))
    except RuntimeError as error:
        raise BolidError(f"{path} is not MoveNet: run `bolid networks get movenet`") from error
    return made
