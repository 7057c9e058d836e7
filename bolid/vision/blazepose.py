"""BlazePose for photographs: all people of an image with 33 landmarks in pixels and metres, and silhouettes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bolid.vision.found import People, Pose, first_of
from bolid.vision.pose import SURE
from bolid.vision.pose_landmarks import COCO, PoseLandmarks, PoseReading, around, people
from bolid.vision.region import paste

if TYPE_CHECKING:
    from PIL import Image

MOST = 8  # maximum number of people per image: each costs a run of the landmark network
SAME = 0.15  # maximum median distance of the landmarks of duplicate detections, as a share of the person's height
SEEN = 0.5  # minimum visibility of landmarks for a person's box


@dataclass(frozen=True)
class Landmarks:
    """One person in an image.

    Attributes:
        points: (33, 3) float32 x, y in pixels of the image, visibility in 0..1; points outside are extrapolated.
        world: (33, 3) float32 x to the right, y down, z away from the camera, in metres from the middle of the hips.
        silhouette: (H, W) uint8, 255 where the person is.
        score: Confidence that it is a person, in 0..1.
    """

    points: np.ndarray
    world: np.ndarray
    silhouette: np.ndarray
    score: float

    @property
    def keypoints(self) -> np.ndarray:
        """(17, 3) the COCO keypoints, see `COCO`."""
        return self.points[list(COCO)]

    @property
    def height(self) -> float:
        """Distance from the highest to the lowest landmark in pixels."""
        return float(np.ptp(self.points[:, 1]))


class BlazePose(nn.Module):
    """BlazePose's detector and landmark network.

    Args:
        size: See `PoseLandmarks`.
        min_detection: See `PoseLandmarks`.
        min_presence: Minimum score of the landmark network for a person.
        min_confidence: Minimum visibility of COCO keypoints in `estimate`.
        detector_weights: See `PoseLandmarks`, as `weights`.

    Raises:
        BolidError: If weights are missing, or of another network.
    """

    def __init__(
        self,
        size: Literal["full", "heavy"] = "full",
        min_detection: float = 0.5,
        min_presence: float = 0.5,
        min_confidence: float = 0.1,
        detector_weights: Path | None = None,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.landmarks = PoseLandmarks(size, min_detection, detector_weights, weights)
        self.min_presence, self.min_confidence = min_presence, min_confidence

    def read(self, picture: np.ndarray, keypoints: np.ndarray | None = None) -> list[Landmarks]:
        """Detects the people of an image.

        Args:
            picture: (H, W, 3) uint8 RGB.
            keypoints: (n, 17, 3) COCO keypoints of people by another network, which fix the order; by default all
                people of BlazePose's own detector, the tallest first.
        """
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        found = self._read(pixels) if keypoints is None else self._read_these(pixels, torch.from_numpy(keypoints))
        height, width = picture.shape[:2]
        answers = []
        for points, world, score, mask, place, _ in zip(*(part.cpu() for part in found), strict=True):
            silhouette = paste(mask.numpy(), place.numpy(), height, width)
            answers.append(Landmarks(points.numpy(), world.numpy(), silhouette, float(score)))
        return answers

    def silhouette(self, picture: Image.Image, keypoints: np.ndarray | None = None) -> np.ndarray:
        """One person's silhouette: (H, W) uint8, 255 where the person is; all 0 if no person is found.

        Args:
            picture: The photo.
            keypoints: (17, 3) of the person, by another network; by default the tallest person.
        """
        found = self.read(np.asarray(picture.convert("RGB")), None if keypoints is None else keypoints[None])
        return found[0].silhouette if found else np.zeros((picture.height, picture.width), np.uint8)

    def estimate(self, pictures: Tensor, count_others: bool = False) -> Pose:
        """The tallest person of each of (B, 3, H, W) images, as by `bolid.vision.pose.PoseEstimator`."""
        return first_of(self.people(pictures), pictures, SURE, count_others)

    def people(self, pictures: Tensor) -> list[People]:
        """All people in each of (B, 3, H, W) images in 0..1, the tallest first."""
        return [self._people(self._read(picture), *pictures.shape[2:]) for picture in pictures]

    @torch.no_grad()
    def _read(self, picture: Tensor) -> PoseReading:
        """All people in an image (3, H, W), uint8 or in 0..1, without duplicates, the tallest first."""
        regions = people(self.landmarks.detect(picture[None])[0])[:MOST]
        if not len(regions):
            return no_person(self.landmarks.size)
        found = self.landmarks(picture.expand(len(regions), *picture.shape), regions)
        tall = found.points[..., 1].amax(1) - found.points[..., 1].amin(1)  # (n,)
        kept: list[int] = []
        for k in torch.nonzero(found.score >= self.min_presence)[:, 0].tolist():  # by score
            distance = (found.points[kept, :, :2] - found.points[k, :, :2]).norm(dim=-1)  # (kept, 33)
            if not (distance.median(-1).values < SAME * tall[kept]).any():
                kept.append(k)
        kept.sort(key=lambda k: -float(tall[k]))
        return PoseReading(*(part[kept] for part in found))

    @torch.no_grad()
    def _read_these(self, picture: Tensor, keypoints: Tensor) -> PoseReading:
        """The people with these keypoints (n, 17, 3), in two passes: the first refines the regions."""
        shown = picture.expand(len(keypoints), *picture.shape)
        if not len(keypoints):
            return no_person(self.landmarks.size)
        first = self.landmarks(shown, torch.stack([around(k.float()) for k in keypoints]))
        return self.landmarks(shown, first.regions)

    def _people(self, found: PoseReading, height: int, width: int) -> People:
        """The same people with COCO keypoints, and boxes around the visible ones."""
        limit = torch.tensor([width, height])
        points = found.points.cpu()  # (n, 33, 3)
        boxes = torch.stack([_box(person) for person in points]) if len(points) else torch.zeros(0, 4)
        keypoints = points[:, list(COCO)]
        inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] < limit)).all(-1)
        seen = inside & (keypoints[..., 2] >= self.min_confidence)
        boxes = boxes.clamp_min(0).minimum(limit.repeat(2))
        return People(torch.where(seen[..., None], keypoints, 0.0), boxes, found.score.cpu())


def _box(points: Tensor) -> Tensor:
    """The box (4,) around the visible landmarks (33, 3), or around all if none is visible."""
    seen = points[:, 2] >= SEEN
    places = points[seen if seen.any() else slice(None), :2]
    return torch.cat([places.amin(0), places.amax(0)])


def no_person(size: int) -> PoseReading:
    """A reading of no people."""
    shapes = ((33, 3), (33, 3), (), (size, size), (2, 3), (4,))
    return PoseReading(*(torch.zeros(0, *shape) for shape in shapes))
