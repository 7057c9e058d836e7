"""Bone ratios: right on a skeleton of known lengths, the same in every pose, view and size."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bolid.core.keypoints import LIMBS
from bolid.vision.bones import BONES, bone_lengths, bone_ratios, bones_seen
from bolid.vision.pose_landmarks import COCO

LENGTHS = {"shoulders": 0.36, "hips": 0.24, "upper arm": 0.3, "forearm": 0.25, "thigh": 0.45, "shin": 0.42}


def body(rng):
    """World landmarks of somebody with these bones in a random pose, and the length of the trunk."""
    joints = np.zeros((17, 3))
    joints[5], joints[6] = [0.18, -0.5, 0], [-0.18, -0.5, 0]
    joints[11], joints[12] = [0.12, 0, 0], [-0.12, 0, 0]
    for bone in ("upper arm", "forearm", "thigh", "shin"):
        for start, end in LIMBS[bone]:
            way = rng.normal(size=3)
            joints[end] = joints[start] + LENGTHS[bone] * way / np.linalg.norm(way)
    landmarks = rng.normal(size=(33, 3))  # the other points do not count
    landmarks[list(COCO)] = joints
    return landmarks, np.hypot(0.5, 0.06)


@pytest.mark.parametrize("seed", range(5))
def test_lengths_are_right_in_any_pose_view_and_place(seed):
    rng = np.random.default_rng(seed)
    landmarks, trunk = body(rng)
    landmarks = Rotation.random(rng=rng).apply(landmarks) + rng.normal(size=3)
    expected = [{**LENGTHS, "trunk": trunk}[bone] for bone in BONES]
    torch.testing.assert_close(bone_lengths(torch.from_numpy(landmarks)), torch.tensor(expected, dtype=torch.float64))


def test_ratios_do_not_change_with_size_and_keep_those_of_two_bones():
    lengths = torch.rand(3, 7, dtype=torch.float64) + 0.2
    seen = torch.ones(3, 7, dtype=torch.bool)
    found = bone_ratios(lengths, seen)
    torch.testing.assert_close(bone_ratios(lengths * 1.7, seen), found)
    torch.testing.assert_close((found[:, 5] - found[:, 6]).exp(), lengths[:, 5] / lengths[:, 6])
    torch.testing.assert_close(found.sum(1), torch.zeros(3, dtype=torch.float64))


def test_bones_that_are_not_seen_change_nothing():
    lengths = torch.rand(1, 7) + 0.2
    seen = torch.tensor([[True, True, True, True, False, False, False]])
    other = lengths.clone()
    other[:, 4:] = 50.0
    torch.testing.assert_close(bone_ratios(other, seen), bone_ratios(lengths, seen))
    assert not bone_ratios(lengths, seen)[:, 4:].any()
    assert not bone_ratios(lengths, ~torch.ones_like(seen)).any()


def test_one_side_is_enough_to_see_a_bone():
    keypoints = torch.zeros(2, 17, 3)
    keypoints[0, [5, 7, 11, 13], 2] = 0.9  # left shoulder, elbow, hip, knee
    keypoints[1, [5, 6, 8], 2] = 0.9
    seen = bones_seen(keypoints)
    assert [BONES[k] for k in range(7) if seen[0, k]] == ["trunk", "upper arm", "thigh"]
    assert [BONES[k] for k in range(7) if seen[1, k]] == ["shoulders", "upper arm"]


def test_gradients_are_right_and_finite_where_bones_vanish():
    world = torch.randn(2, 33, 3, dtype=torch.float64, requires_grad=True)
    seen = torch.ones(2, 7, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda w: bone_ratios(bone_lengths(w), seen), world, fast_mode=True)
    flat = torch.zeros(1, 33, 3, requires_grad=True)
    bone_ratios(bone_lengths(flat), seen[:1]).sum().backward()
    assert flat.grad.isfinite().all()
