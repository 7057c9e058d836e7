import hashlib

import numpy as np
import pytest
import torch

from bolid.core.errors import BolidError
from bolid.vision.face import FaceEmbedder, similarity

FIVE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)


def placed(scale=1.0, degrees=0.0, shift=(0.0, 0.0)):
    """The template's five points turned, scaled and shifted."""
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (FIVE_POINTS @ turn.T + shift).astype(np.float32)


def coco(five):
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[2, :2], keypoints[1, :2], keypoints[0, :2] = five[0], five[1], five[2]  # right eye, left eye, nose
    keypoints[:3, 2] = 1
    return keypoints


@pytest.fixture
def face(face_onnx):
    return FaceEmbedder(face_onnx)


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 256, (200, 240, 3), dtype=np.uint8)


def test_similarity_agrees_with_scikit_image():
    from skimage.transform import SimilarityTransform

    rng = np.random.default_rng(1)
    source, target = rng.normal(size=(2, 3, 2))
    np.testing.assert_allclose(similarity(source, target), SimilarityTransform.from_estimate(source, target).params[:2])


def test_aligns_like_insightface(face, photo):
    from insightface.utils.face_align import norm_crop

    five = placed(scale=1.3, degrees=20, shift=(40, 10))
    theirs = norm_crop(photo, five)
    ours = face.align(photo, coco(five))
    assert np.abs(ours.astype(int) - theirs).max() <= 2  # the two fits differ in their last digits


def test_embedding_is_the_networks_answer_to_the_face(face, photo, recogniser):
    crop = face.align(photo, coco(placed(shift=(50, 50))))
    with torch.no_grad():
        expected = recogniser((torch.from_numpy(crop).permute(2, 0, 1)[None].float() - 127.5) / 127.5)[0]
    embedding = face.embed(photo, coco(placed(shift=(50, 50))))
    np.testing.assert_allclose(embedding, (expected / expected.norm()).numpy(), atol=1e-5)
    assert embedding.dtype == np.float32
    assert embedding.shape == (512,)


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_no_embedding_without_eyes_or_nose(face, photo, hidden):
    keypoints = coco(placed(shift=(50, 50)))
    keypoints[hidden, 2] = 0.5  # self-occluded
    assert face.embed(photo, keypoints) is None


def test_no_embedding_of_a_small_face(face_onnx, photo):
    keypoints = coco(placed(scale=31 / 112, shift=(50, 50)))
    assert FaceEmbedder(face_onnx).embed(photo, keypoints) is None
    assert FaceEmbedder(face_onnx, min_face=30).embed(photo, keypoints) is not None
    keypoints[:3, :2] = 50  # all at one point
    assert FaceEmbedder(face_onnx).embed(photo, keypoints) is None


def test_a_folder_is_searched_and_the_file_is_fingerprinted(face, face_onnx):
    found = FaceEmbedder(face_onnx.parent)
    assert found.fingerprint == face.fingerprint == hashlib.sha256(face_onnx.read_bytes()).hexdigest()


def test_what_is_no_recogniser_is_named(tmp_path):
    with pytest.raises(BolidError, match=r"none\.onnx: no such file.*buffalo_l"):
        FaceEmbedder(tmp_path / "none.onnx")
    with pytest.raises(BolidError, match="no face recogniser"):
        FaceEmbedder(tmp_path)
    (tmp_path / "x.onnx").write_bytes(b"not a network")
    with pytest.raises(BolidError, match=r"x\.onnx: not a readable"):
        FaceEmbedder(tmp_path)
