"""Pose error, OKS and face similarity, with networks whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from bolid.metrics.face_similarity import FaceSimilarity
from bolid.metrics.pose_error import PoseError, extent, keypoint_similarity
from bolid.vision.pose import Pose
from tests.metrics.metric_fakes import make_batch

SIZE = (48, 32)
SIGMAS = np.array([0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]) / 10  # COCO's


class Offset(nn.Module):
    """Sees the truth, shifted right by ten times the first pixel's red; nobody where the last pixel is dark."""

    min_score = 0.25

    def __init__(self, truth):
        super().__init__()
        self.truth = truth

    def forward(self, pictures):
        shift = torch.zeros_like(self.truth)
        shift[..., 0] = 10 * pictures[:, 0, 0, 0, None]
        return Pose(self.truth + shift, None, pictures[:, 0, -1, -1])

    def estimate(self, pictures):
        return self(pictures)


def drawn(*shifts, found=None):
    pictures = torch.zeros(len(shifts), 3, *SIZE)
    pictures[:, 0, 0, 0] = torch.tensor(shifts)
    pictures[:, 0, -1, -1] = 1.0 if found is None else torch.tensor(found)
    return pictures


@pytest.fixture
def batch():
    made = make_batch(torch.zeros(3, 3, *SIZE), references=2)
    rng = torch.Generator().manual_seed(0)
    made.keypoints = torch.rand(3, 17, 3, generator=rng) * torch.tensor([20.0, 40.0, 0.0])
    made.keypoints[..., 2] = 1.0
    made.keypoints[:, 0, 1], made.keypoints[:, 16, 1] = 0.0, 40.0
    made.keypoints[:, 0, 0], made.keypoints[:, 16, 0] = 0.0, 20.0
    return made


def test_distances_are_in_heights_of_the_photos_person(batch):
    metric = PoseError(Offset(batch.keypoints.clone()))
    metric.update(drawn(0.0, 0.4, 0.8), batch)
    assert metric.compute()["pose_error"] == pytest.approx((0 + 4 / 40 + 8 / 40) / 3)
    assert metric.person_scores()["pose_error"].scores.tolist() == pytest.approx([0, 0.1, 0.2])


def test_similarity_is_cocos(batch):
    metric = PoseError(Offset(batch.keypoints.clone()))
    metric.update(drawn(0.0, 0.4, 0.8), batch)
    area = 0.53 * 20 * 40
    expected = [np.exp(-((10 * s) ** 2) / (2 * area * (2 * SIGMAS) ** 2)).mean() for s in (0.0, 0.4, 0.8)]
    np.testing.assert_allclose(metric.person_scores()["oks"].scores.numpy(), expected, rtol=1e-4)
    assert metric.compute()["oks"] == pytest.approx(np.mean(expected), rel=1e-4)


def test_points_that_the_photo_does_not_show_do_not_count(batch):
    truth = batch.keypoints.clone()
    truth[:, 8, :2] += 100
    metric = PoseError(Offset(truth))
    batch.keypoints[:, 8] = 0
    batch.keypoints[2, 5:] = 0  # a face alone
    metric.update(drawn(0.0, 0.0, 0.0), batch)
    assert metric.compute()["pose_error"] == pytest.approx(0)
    assert len(metric.person_scores()["oks"].scores) == 2


def test_nobody_has_no_distance_and_no_similarity(batch):
    metric = PoseError(Offset(batch.keypoints.clone()))
    metric.update(drawn(0.0, 0.4, 0.0, found=[1.0, 1.0, 0.1]), batch)
    assert metric.compute()["pose_error"] == pytest.approx(0.05)
    assert metric.person_scores()["oks"].scores[2] == 0
    assert len(metric.person_scores()["pose_error"].scores) == 2


def test_extent_is_that_of_the_points_seen(batch):
    batch.keypoints[0, 16] = 0
    rest = batch.keypoints[0, :16]
    expected = [(rest[:, k].max() - rest[:, k].min()).item() for k in (0, 1)]
    assert extent(batch.keypoints)[0].tolist() == pytest.approx(expected)
    assert extent(torch.zeros(1, 17, 3)).tolist() == [[1.0, 1.0]]


def test_the_same_pose_is_wholly_similar(batch):
    body = batch.keypoints[:, 5:]
    torch.testing.assert_close(keypoint_similarity(body, body, torch.ones(3)), torch.ones(3))


class Corner:
    """Embeds the first pixel's colour; sees no face in dark pictures."""

    def embed(self, rgb, keypoints):
        assert keypoints.shape == (17, 3)
        colour = rgb[0, 0].astype(np.float32)
        return np.pad(colour / np.linalg.norm(colour), (0, 509)) if colour.any() else None


@pytest.fixture
def faces(bundle, batch):
    metric = FaceSimilarity(Offset(batch.keypoints), bundle / "face/face.onnx")
    metric.embedder = Corner()
    batch.references.face_mask[:] = torch.tensor([[True, True], [True, False], [False, False]])
    batch.references.faces[..., :2] = torch.tensor([1.0, 0.0])
    batch.references.faces[0, 1, :2] = torch.tensor([0.0, 1.0])
    batch.references.faces[1, 1, :2] = torch.tensor([0.0, 1.0])  # is no face: the mask says so
    return metric


def test_faces_are_compared_with_the_mean_of_the_references(faces, batch):
    pictures = torch.zeros(3, 3, *SIZE)
    pictures[:, 0, 0, 0] = 1.0
    faces.update(pictures, batch)
    assert faces.person_scores()["face_similarity"].scores.tolist() == pytest.approx([0.5**0.5, 1.0])
    found = faces.compute()
    assert found["face_similarity"] == pytest.approx((0.5**0.5 + 1) / 2)
    assert found["face_found"] == 1.0


def test_pictures_without_a_face_are_told_beside(faces, batch):
    pictures = torch.zeros(3, 3, *SIZE)
    pictures[1, 0, 0, 0] = 1.0
    faces.update(pictures, batch)
    assert faces.compute()["face_similarity"] == pytest.approx(1.0)
    assert faces.compute()["face_found"] == 0.5
