"""Face recognisers: embeddings of faces from photos and keypoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.safe_io import sha256

if TYPE_CHECKING:
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

# Template of ArcFace networks: the eye on the left of the image, the other eye, and the nose, at 112 x 112 pixels.
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366]], dtype=np.float32)
TEMPLATE_SIZE = 112
COCO_POINTS = [2, 1, 0]  # the same three in COCO's order; the *right* eye is the one on the left of the image
EMBEDDING = 512  # embedding size of ArcFace recognisers
LEAST = 64  # minimum output size of a recogniser; networks of age and sex have fewer outputs
MIN_FACE, MIN_CONFIDENCE = 32.0, 0.5
# Minimum cosine of two faces of one person by embedding size, since recognisers differ in their
# distributions. dlib's is measured on 25 photographs of six people by `benchmarks/curate_alike.py`; its authors'
# distance of 0.6 is a cosine of about 0.91, since its embeddings have length about 1.4.
_ALIKE = {128: 0.92, 512: 0.35}


def alike_from(numbers: int) -> float:
    """Minimum cosine of two embeddings of one person, by their size."""
    return _ALIKE.get(numbers, 0.5)


class Embedder(Protocol):
    """Protocol of `Recogniser.embed`."""

    fingerprint: str

    def embed(self, rgb: np.ndarray, keypoints: np.ndarray) -> np.ndarray | None:
        """(F,) of length 1 from (H, W, 3) uint8 and (17, 3) keypoints, or None without a usable face."""
        ...


class Recogniser(ABC):
    """Base class of face recognisers.

    Attributes:
        fingerprint: SHA-256 of the weights; embeddings of different networks are not comparable.
        size: Side of the network's square input in pixels.
    """

    fingerprint: str
    size: int

    def embed(self, rgb: np.ndarray, keypoints: np.ndarray) -> np.ndarray | None:
        """The face's embedding, (F,) float32 of length 1; None if the face is turned away or too small.

        Args:
            rgb: (H, W, 3) uint8.
            keypoints: (17, 3) COCO order, x, y in pixels of the photo, confidence.
        """
        face = self.align(rgb, keypoints)
        return None if face is None else self.embed_aligned([face])[0]

    @abstractmethod
    def align(self, rgb: np.ndarray, keypoints: np.ndarray) -> np.ndarray | None:
        """The aligned face for the network, (size, size, 3) uint8 RGB, black outside the photo; or None."""

    @abstractmethod
    def embed_aligned(self, faces: list[np.ndarray]) -> np.ndarray:
        """Embeds faces from `align`: n times (size, size, 3) uint8 RGB -> (n, F) float32 of length 1."""


class FaceEmbedder(Recogniser):
    """An ArcFace-like recogniser in ONNX, by insightface's model zoo.

    Args:
        weights: An `.onnx` file with a square input of at least 112 pixels, or a folder that holds one (such as an
            unpacked `buffalo_l`; its weights are for non-commercial research only).
        min_face: Faces smaller than this, in pixels of the photo, are not embedded: identity is lost first.
        min_confidence: Eyes and nose must all be seen with more than this confidence.

    Raises:
        BolidError: If there is no recogniser at `weights`.

    Attributes:
        fingerprint: SHA-256 of the file; embeddings of two networks must never be compared.
    """

    def __init__(self, weights: Path, min_face: float = MIN_FACE, min_confidence: float = MIN_CONFIDENCE) -> None:
        self.weights, self.network = _load_recogniser(resolve(weights))
        self.fingerprint, self.size = sha256(self.weights), self.network.input_size[0]
        self.min_face = min_face
        self.min_confidence = min_confidence

    def align(self, rgb: np.ndarray, keypoints: np.ndarray) -> np.ndarray | None:
        """`align_face` for this network: (size, size, 3) uint8 RGB, or None."""
        return align_face(rgb, keypoints, self.size, self.min_face, self.min_confidence)

    def embed_aligned(self, faces: list[np.ndarray]) -> np.ndarray:
        """Embeds faces from `align`: n times (size, size, 3) uint8 RGB -> (n, F) float32 of length 1."""
        features = self.network.get_feat([face[..., ::-1] for face in faces])  # it takes BGR, as in OpenCV
        length = np.linalg.norm(features, axis=1, keepdims=True)
        return (features / np.maximum(length, 1e-12)).astype(np.float32)


def align_face(
    rgb: np.ndarray,
    keypoints: np.ndarray,
    size: int = TEMPLATE_SIZE,
    min_face: float = MIN_FACE,
    min_confidence: float = MIN_CONFIDENCE,
    template: np.ndarray = TEMPLATE,
) -> np.ndarray | None:
    """Aligns a face to the template by rotation, scale and shift; the same in training and inference.

    Args:
        rgb: (H, W, 3) uint8.
        keypoints: (17, 3) COCO order, x, y in pixels of the photo, confidence.
        size: Side of the aligned image.
        min_face: Minimum size of the face, see `face_size`.
        min_confidence: Eyes and nose must all be seen with more than this confidence.
        template: (3, 2) positions of eyes and nose in an image of 112 pixels.

    Returns:
        (size, size, 3) uint8 RGB, black outside the photo; None if the face is turned away or too small.
    """
    import cv2

    points = np.asarray(keypoints, dtype=np.float32)[COCO_POINTS]  # (3, 3)
    if not (points[:, 2] > min_confidence).all():
        return None
    matrix = similarity(points[:, :2], template * (size / TEMPLATE_SIZE))
    if matrix is None or face_size(matrix, size) < min_face:
        return None
    return cv2.warpAffine(rgb, matrix, (size, size))


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """The least-squares similarity transform (no reflection) from source to target points.

    Args:
        source: (n, 2) x, y.
        target: (n, 2) x, y.

    Returns:
        (2, 3) float64 matrix for `cv2.warpAffine`; None if the points coincide.
    """
    a, b = (points.astype(np.float64) @ [1, 1j] for points in (source, target))  # as complex numbers
    a_mean, b_mean = a.mean(), b.mean()
    spread = (abs(a - a_mean) ** 2).sum()
    if spread < 1e-9:
        return None
    turn = ((b - b_mean) * (a - a_mean).conj()).sum() / spread  # b ≈ turn · a + shift is a least-squares line
    shift = b_mean - turn * a_mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def face_size(matrix: np.ndarray, size: int) -> float:
    """Side in pixels of the square of the photo that an alignment to `size` x `size` cuts out."""
    return size / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-9)


def _load_recogniser(path: Path) -> tuple[Path, ArcFaceONNX]:
    if not path.exists():
        raise BolidError(
            f"{path}: no such file. Give a face recogniser in ONNX: data/tiny/face/face.onnx, or w600k_r50.onnx from "
            "insightface's buffalo_l (https://github.com/deepinsight/insightface), unpacked there."
        )
    # buffalo_l has four networks besides its recogniser, which is the one whose name starts with w.
    files = sorted(path.glob("*.onnx"), reverse=True) if path.is_dir() else [path]
    for file in files:
        network = _open_onnx(file)
        if network and getattr(network, "taskname", "") == "recognition" and _numbers(network) >= LEAST:
            return file, network
    raise BolidError(
        f"{path}: no face recogniser; needed is an .onnx file with a square input and {LEAST} outputs or more, such as "
        f"{EMBEDDING}."
    )


def _numbers(network: ArcFaceONNX) -> int:
    size = network.output_shape[-1]
    return size if isinstance(size, int) else 0  # a dynamic size is given as a name


def _open_onnx(file: Path) -> ArcFaceONNX | None:
    from insightface import model_zoo

    try:
        return model_zoo.get_model(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnx, onnxruntime and protobuf raise different errors for a broken file
        raise BolidError(f"{file}: not a readable ONNX network ({type(error).__name__}: {error}).") from error
