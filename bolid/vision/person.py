"""The person in a photo of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from bolid.core.safe_io import PictureError
from bolid.vision.pose import Pose

if TYPE_CHECKING:
    from PIL import Image

SIDE = 1280  # pixels; the pose network sees no photo larger than this


class Estimator(Protocol):
    """What `bolid.vision.pose.PoseEstimator` offers; tests bring their own."""

    def estimate(self, pictures: Tensor, count_others: bool = False) -> Pose:
        """The person in each of (B, 3, H, W) pictures in 0..1; zeros where there is nobody."""
        ...


def find_person(picture: Image.Image, estimator: Estimator, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (17, 3) and box (4,) of the photo's one person, in its pixels, float32.

    Args:
        picture: The photo.
        estimator: Finds people.
        name: Of the photo, for messages.

    Raises:
        PictureError: If it shows nobody, or several people of whom none is clearly in front.
    """
    small = picture.copy()
    small.thumbnail((SIDE, SIDE))
    pixels = torch.from_numpy(np.array(small)).permute(2, 0, 1)[None] / 255  # (1, 3, H, W)
    pose = estimator.estimate(pixels, count_others=True)
    if not pose.score[0] > 0:
        raise PictureError(f"{name}: no person found.")
    if pose.others is not None and pose.others[0] > 0:
        raise PictureError(f"{name}: {1 + int(pose.others[0])} people; crop the photo to the one who is meant.")
    scale = np.array([picture.width / small.width, picture.height / small.height], np.float32)
    keypoints, box = pose.keypoints[0].numpy().copy(), pose.box[0].numpy()
    keypoints[:, :2] *= scale
    return keypoints.astype(np.float32), (box * np.tile(scale, 2)).astype(np.float32)
