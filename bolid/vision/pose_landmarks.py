"""BlazePose's landmarks as a torch module: 33 points in pixels and metres, and a silhouette, with gradients.

Bazarevsky et al. 2020, "BlazePose: On-device Real-time Body Pose tracking"; steps after the public description of
MediaPipe's calculators.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from bolid.vision.base import Frozen
from bolid.vision.graph import load_network
from bolid.vision.region import apply, cut, matrices, region_between, whole
from bolid.vision.ssd import Detections, SsdDetector

LANDMARKS = 33
# Which of the 33 landmarks is each of COCO's 17 keypoints: nose, eyes, ears (left first), shoulders, elbows, wrists,
# hips, knees, ankles. The other 16 are corners of eyes and mouth, fingers, heels and toes.
COCO = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
PER_CELL = {8: 2, 16: 2, 32: 6}  # anchors of the detector
AROUND, ABOVE = 33, 34  # auxiliary landmarks: the middle of the hips, and the top of the circle around the body
WINDOW, SEEN = 3, 0.5  # half window in cells of the heat map's refinement, and its minimum heat
TRUNK, CIRCLE = 2.2, 1.15  # trunk length in distances of eyes and shoulders; margin of the circle
FILES = {"full": "blazepose", "heavy": "blazepose-heavy"}


class PoseReading(NamedTuple):
    """One person in each of n images.

    Attributes:
        points: (n, 33, 3) x, y in pixels of the image, visibility in 0..1.
        world: (n, 33, 3) x to the right, y down, z away from the camera, in metres from the middle of the hips.
        score: (n,) confidence that there is a person, in 0..1.
        masks: (n, 256, 256) the silhouette in the crop, in 0..1.
        matrices: (n, 2, 3) transforms from pixels of the crop to pixels of the image.
        regions: (n, 4) region of the person by the landmarks, see `bolid.vision.region`.
    """

    points: Tensor
    world: Tensor
    score: Tensor
    masks: Tensor
    matrices: Tensor
    regions: Tensor


class PoseLandmarks(Frozen):
    """BlazePose, detector and landmarks, frozen.

    Args:
        size: Landmark network: `full`, or `heavy`, which is about four times slower.
        min_detection: Minimum score of the detector's candidates.
        detector_weights: Converted weights of the detector; by default those of `bolid networks get blazepose`.
        weights: Converted weights of the landmarks; by default those of `blazepose` or `blazepose-heavy`.

    Raises:
        BolidError: If weights are missing, or of another network.
    """

    def __init__(
        self,
        size: Literal["full", "heavy"] = "full",
        min_detection: float = 0.5,
        detector_weights: Path | None = None,
        weights: Path | None = None,
    ) -> None:
        from bolid.vision.networks import network

        detector = load_network(detector_weights or network(FILES["full"]), "detector")
        landmarks = load_network(weights or network(FILES[size]), "landmarks")
        super().__init__(nn.ModuleDict({"detector": detector, "landmarks": landmarks}))
        self.detector = SsdDetector(detector, PER_CELL, min_detection)
        self.size = landmarks.layout.size[0]

    def detect(self, pictures: Tensor) -> list[Detections]:
        """People in each of (B, 3, H, W) images, uint8 or in 0..1, by score; see `people`."""
        return self.detector.find(pictures)

    def likeliest(self, pictures: Tensor) -> Tensor:
        """The region (B, 4) of each image's most likely person, or the whole image if no person is found."""
        found = [people(d) for d in self.detect(pictures)]
        return torch.stack([f[0] if len(f) else whole(*pictures.shape[2:]) for f in found])

    def forward(self, pictures: Tensor, regions: Tensor | None = None) -> PoseReading:
        """The landmarks of one person per image, with gradients to the images.

        Args:
            pictures: (n, 3, H, W), uint8 or in 0..1.
            regions: (n, 4) regions of the people; by default the most likely of each image, detected without gradients.
        """
        regions = self.likeliest(pictures) if regions is None else regions
        place = matrices(regions.to(pictures.device, torch.float32), self.size)
        crops = torch.stack([cut(p, m, self.size) for p, m in zip(pictures, place, strict=True)])
        with torch.autocast(pictures.device.type, enabled=False):  # half precision rounds coordinates to whole pixels
            found = self.network["landmarks"](crops.to(next(self.network.parameters())))
        raw, score, mask, heat, world = (part.float() for part in found)
        raw = raw.unflatten(1, (-1, 5))  # (n, 39, 5) x, y, z, visibility, presence
        points = apply(place, refine(raw[..., :2], heat, self.size))
        turn = place[:, :, :2] / place[:, :, 0].norm(dim=1)[:, None, None]  # rotates back from the upright crop
        upright = world.unflatten(1, (-1, 3))[:, :LANDMARKS]
        return PoseReading(
            torch.cat([points, raw[..., 3:4].sigmoid()], -1)[:, :LANDMARKS],
            torch.cat([upright[..., :2] @ turn.mT, upright[..., 2:]], -1),
            score[:, 0],
            mask[:, 0].sigmoid(),
            place,
            region_between(points[:, AROUND], points[:, ABOVE]).detach(),
        )


def people(found: Detections) -> Tensor:
    """The regions (n, 4) of detected people: around the middle of the hips, as large as the circle around the body."""
    return region_between(found.points[:, 0], found.points[:, 1])


def around(keypoints: Tensor) -> Tensor:
    """The region of a person detected by another network, like the detector's own.

    Its centre is the middle of the hips, or of the visible points; its circle holds all keypoints and the head above
    the eyes.

    Args:
        keypoints: (17, 3) COCO order, at least one visible.

    Returns:
        (4,).
    """
    seen = keypoints[:, 2] > 0

    def middle(points: list[int]) -> Tensor | None:
        there = [k for k in points if seen[k]]
        return keypoints[there, :2].mean(0) if there else None

    head, shoulders, hips = middle([0, 1, 2, 3, 4]), middle([5, 6]), middle([11, 12])
    if hips is None and shoulders is not None and head is not None:
        hips = shoulders + TRUNK * (shoulders - head)  # below the photo, for a bust
    top = shoulders if shoulders is not None else head
    everything = keypoints[seen, :2]
    centre = everything.mean(0) if hips is None else hips
    reach = (everything - centre).norm(dim=1).max() * CIRCLE
    if hips is None or top is None or not (top - hips).norm() > 0:
        return region_between(centre, centre - reach * centre.new_tensor([0.0, 1.0]))
    return region_between(centre, centre + (top - centre) / (top - centre).norm() * reach)


def refine(points: Tensor, heat: Tensor, size: int) -> Tensor:
    """Moves landmarks to the centroid of their heat maps nearby, if there is enough heat.

    Args:
        points: (n, K, 2) in pixels of a crop.
        heat: (n, K, h, h) logits.
        size: Side of the crop in pixels.
    """
    cells = heat.shape[-1]
    at = (points.detach() * (cells / size)).trunc()  # (n, K, 2) x, y
    line = torch.arange(cells, device=heat.device)
    near = (line - at[..., None]).abs() <= WINDOW  # (n, K, 2, cells)
    shown = heat.sigmoid() * (near[:, :, 1, :, None] & near[:, :, 0, None, :])  # (n, K, cells, cells)
    total = shown.sum((2, 3)).clamp_min(1e-6)
    moved = torch.stack([(shown.sum(2) * line).sum(2), (shown.sum(3) * line).sum(2)], -1) / total[..., None]
    clear = ((at >= 0) & (at < cells)).all(-1) & (shown.amax((2, 3)) >= SEEN)
    return torch.where(clear[..., None], moved * (size / cells), points)
