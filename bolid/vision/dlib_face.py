"""dlib's face recogniser as a torch module: face embeddings of size 128."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.safe_io import load_safetensors, sha256
from bolid.vision.base import Frozen
from bolid.vision.face import COCO_POINTS, MIN_FACE, TEMPLATE_SIZE, Recogniser, align_face
from bolid.vision.networks import network

SIZE = 150  # pixels
PADDING = 0.25  # around dlib's mean face
# The eye on the left of the image, the other eye and the tip of the nose in dlib's mean face, as shares of its side.
MEAN_FACE = np.array([[0.2273, 0.2214], [0.7528, 0.2212], [0.4901, 0.5156]], np.float32)
TEMPLATE = (MEAN_FACE + PADDING) / (1 + 2 * PADDING) * TEMPLATE_SIZE
MEAN = (122.782, 117.001, 104.298)  # of RGB in 0..255
# Channels of the residual blocks, and whether each halves the maps.
BLOCKS = (
    *((32, False),) * 3, (64, True), *((64, False),) * 3, (128, True), *((128, False),) * 2,
    (256, True), *((256, False),) * 2, (256, True),
)  # fmt: skip
STEM, NUMBERS = 32, 128
MIN_CONFIDENCE = 0.3
CLEAR = 1.5  # a face is first reduced to this multiple of the crop size, to avoid aliasing in the rotation


class Residual(nn.Module):
    """Two convolutions, added to their input; missing channels or pixels are padded with zeros.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output, at least as many.
        halves: Whether the output is half as high and wide.
    """

    def __init__(self, inputs: int, outputs: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.first = nn.Conv2d(inputs, outputs, 3, 2 if halves else 1, 0 if halves else 1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H', W'), at least 0."""
        out = self.second(F.relu(self.first(maps)))
        kept = F.avg_pool2d(maps, 2, 2) if self.halves else maps
        shape = [max(sides) for sides in zip(out.shape[1:], kept.shape[1:], strict=True)]
        return F.relu(_grown(out, shape) + _grown(kept, shape))


def _grown(maps: Tensor, shape: list[int]) -> Tensor:
    channels, height, width = (wanted - side for wanted, side in zip(shape, maps.shape[1:], strict=True))
    return F.pad(maps, [0, width, 0, height, 0, channels])


class DlibFaceNetwork(nn.Module):
    """The network, with batch norms folded into convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 7, 2)
        inputs = [STEM, *(outputs for outputs, _ in BLOCKS)]
        self.blocks = nn.Sequential(
            *(Residual(before, outputs, halves) for before, (outputs, halves) in zip(inputs, BLOCKS, strict=False))
        )
        self.numbers = nn.Linear(inputs[-1], NUMBERS, bias=False)

    def forward(self, faces: Tensor) -> Tensor:
        """(B, 3, 150, 150) RGB in 0..1 -> (B, 128), of lengths around 1."""
        shifted = (faces * 255 - faces.new_tensor(MEAN)[:, None, None]) / 256
        maps = F.max_pool2d(F.relu(self.stem(shifted)), 3, 2)  # (B, 32, 35, 35)
        return self.numbers(self.blocks(maps).mean((2, 3)))


class DlibFace(Frozen, Recogniser):
    """dlib's ResNet face recogniser, 128 numbers.

    Args:
        weights: Converted weights; by default those of `bolid networks get dlib-face` in the cache folder.
        min_face: Minimum size of a face in pixels of the photo.
        min_confidence: Minimum confidence of eyes and nose.

    Raises:
        BolidError: If the weights are missing or of another network.

    Attributes:
        fingerprint: SHA-256 of the file; embeddings of different networks are not comparable.
        size: Side of the network's square input in pixels.
    """

    size = SIZE

    def __init__(
        self, weights: Path | None = None, min_face: float = MIN_FACE, min_confidence: float = MIN_CONFIDENCE
    ) -> None:
        path = network("dlib-face") if weights is None else Path(weights)
        made = DlibFaceNetwork()
        try:
            made.load_state_dict(load_safetensors(path))
        except RuntimeError as error:
            raise BolidError(f"{path} is not dlib's recogniser: run `bolid networks get dlib-face`") from error
        super().__init__(made)
        self.fingerprint = sha256(path)
        self.min_face, self.min_confidence = min_face, min_confidence

    def align(self, rgb: np.ndarray, keypoints: np.ndarray) -> np.ndarray | None:
        """The face aligned to dlib's template, (150, 150, 3) uint8 RGB, black outside the photo; None as in `embed`."""
        limits = (self.min_face, self.min_confidence)
        small, points = shrunk(rgb, np.asarray(keypoints, np.float32))
        ratio = small.shape[1] / rgb.shape[1]
        return align_face(small, points, SIZE, limits[0] * ratio, limits[1], TEMPLATE)

    @torch.no_grad()
    def embed_aligned(self, faces: list[np.ndarray]) -> np.ndarray:
        """Embeds faces from `align`: n times (150, 150, 3) uint8 RGB -> (n, 128) float32 of length 1."""
        return F.normalize(self(torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2) / 255)).cpu().numpy()

    def forward(self, faces: Tensor) -> Tensor:
        """Aligned faces (B, 3, 150, 150) RGB in 0..1 -> (B, 128) like dlib's, not normalised, with gradients."""
        weights = next(self.network.parameters())
        return self.network(faces.to(weights.device, weights.dtype)).float()


def shrunk(rgb: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Photo and keypoints reduced by averaging, so that the face is not much larger than the network's input."""
    eyes = keypoints[COCO_POINTS[:2], :2]
    apart = float(np.linalg.norm(eyes[0] - eyes[1]))
    wanted = CLEAR * SIZE / TEMPLATE_SIZE * float(TEMPLATE[1, 0] - TEMPLATE[0, 0])
    if apart <= wanted:
        return rgb, keypoints
    height, width = (max(1, round(side * wanted / apart)) for side in rgb.shape[:2])
    scale = np.array([width / rgb.shape[1], height / rgb.shape[0], 1], np.float32)
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), keypoints * scale
