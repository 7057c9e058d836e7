"""MoveNet MultiPose: images to the COCO-17 keypoints of up to six real people in each."""

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

MULTIPLE = 32  # of which the sides of the network's input are multiples
HEADS = {"centre": 1, "size": 2, "shift": 2, "heat": 17, "regression": 34, "offset": 34}
SURE = 0.3  # a further person in an image is one of whom the network is at least so sure
SAME_PERSON = 0.6  # candidates whose keypoints agree more than this are one person


class MoveNetNetwork(nn.Module):
    """The network itself: images to `Maps`."""

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
    """MoveNet MultiPose, frozen. It knows real people; images go to it one size whatever theirs is.

    Args:
        weights: The converted network; by default the one that `bolid networks get movenet` left in the cache folder.
        image_size: Longer side in pixels at which the network sees an image, a multiple of 32. It was trained at 256;
            at 384 it is more exact and finds smaller people.
        close_ups: Further such sizes at which `people` and `estimate` look, for faces that fill a large image are
            found in a small one. Of what the network says of one person at several sizes, the surest counts.
        min_score: A person the network is less sure of does not count.
        min_confidence: Keypoints below this confidence count as undetected.

    Raises:
        BolidError: If the network is not there or is another one, or a setting makes no sense.

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
        """The likeliest person of each image, with gradients to the images and nothing filtered.

        Which cell of the network's map a keypoint is found in has no gradient. Keypoints have the gradient of their
        offset within the cell and of what the person's middle says of them, see `decode`; confidence, box and score
        have their own.

        Args:
            pictures: (B, 3, H, W) in 0..1.

        Returns:
            The pose in pixels of the H x W images, however unlikely.
        """
        found = self.candidates(pictures, self.sizes[0])
        rows, best = torch.arange(len(pictures), device=pictures.device), found.scores.argmax(1)
        keypoints = torch.cat([found.keypoints, found.confidence[..., None]], -1)
        return Pose(keypoints[rows, best], found.boxes[rows, best], found.scores[rows, best])

    def candidates(self, pictures: Tensor, size: int) -> Found:
        """Six candidates for people in each image (B, 3, H, W) in 0..1, in its pixels, with gradients to it.

        Args:
            pictures: Of any size.
            size: Longer side in pixels at which the network sees them.
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
        """Everybody in each of (B, 3, H, W) images in 0..1, the likeliest first; candidates for one person are one.

        Keypoints outside the image or below `min_confidence` are undetected (all 0), boxes end at its border.
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
        """Which candidates to keep, the likeliest first: (n, 17, 3), (n, 4), (n,)."""
        poses, areas = points.cpu().numpy(), box_area(boxes).cpu().numpy()
        kept: list[int] = []
        for index in scores.argsort(descending=True).tolist():
            same = [object_similarity(poses[index], poses[other], areas[other]) > SAME_PERSON for other in kept]
            if scores[index] >= self.min_score and not any(same):
                kept.append(index)
        return kept

    def estimate(self, pictures: Tensor, count_others: bool = False) -> Pose:
        """The likeliest person of each image, (B, 3, H, W) in 0..1; all zeros where there is nobody.

        With `count_others`, `others` says how many further people are at least half as tall.
        """
        return first_of(self.people(pictures), pictures, SURE, count_others)


def load(path: Path) -> MoveNetNetwork:
    """The network of a converted file.

    Raises:
        BolidError: If it is missing or holds another network.
    """
    made = MoveNetNetwork()
    try:
        made.load_state_dict(load_safetensors(path))
    except RuntimeError as error:
        raise BolidError(f"{path} is not MoveNet: run `bolid networks get movenet`") from error
    return made
