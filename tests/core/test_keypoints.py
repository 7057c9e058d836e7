import numpy as np
import pytest

from bolid.core import keypoints as kp

# As COCO publishes them.
COCO = [
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee"),
    *("left_ankle", "right_ankle"),
]


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    found = rng.uniform(0, 60, (17, 3)).astype(np.float32)
    found[:, 2] = 1
    return found


def test_names_and_sides():
    assert list(kp.COCO_NAMES) == COCO
    for index, other in enumerate(kp.FLIP):
        name = COCO[index]
        mirrored = name.replace("left", "?").replace("right", "left").replace("?", "right")
        assert COCO[other] == mirrored


def test_a_flip_swaps_sides_and_undoes_itself(points):
    points[9] = 0  # the left wrist was not seen
    flipped = kp.flip(points, 64)
    np.testing.assert_allclose(flipped[5], [64 - points[6, 0], points[6, 1], points[6, 2]])
    assert not flipped[10].any()
    np.testing.assert_allclose(kp.flip(flipped, 64), points, atol=1e-5)


def test_a_crop_moves_scales_and_hides(points):
    points[0] = [10, 20, 0.5]
    points[1] = [10, 20, 0]
    points[2] = [70, 20, 1]
    moved = kp.transform(points, (2, 3), (-10, 5), (96, 64))
    np.testing.assert_allclose(moved[0], [10, 65, 0.5])
    assert not moved[1].any()  # unseen before
    assert not moved[2].any()  # outside now


def test_flip_and_crop_commute(points):
    direct = kp.flip(kp.transform(points, (0.5, 0.5), (3, 0), (96, 64)), 64)
    mirrored_first = kp.transform(kp.flip(points, 70), (0.5, 0.5), (64 - 3 - 35, 0), (96, 64))
    np.testing.assert_allclose(direct, mirrored_first, atol=1e-4)


BONES = [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (0, 1), (2, 4)]


def test_retargeting_keeps_directions_and_jitters_lengths(points):
    factors = []
    for seed in range(50):
        new = kp.retarget(points, np.random.default_rng(seed), 0.2)
        for a, b in BONES:
            old_bone, new_bone = (p[b, :2] - p[a, :2] for p in (points, new))
            factor = np.linalg.norm(new_bone) / np.linalg.norm(old_bone)
            np.testing.assert_allclose(new_bone, old_bone * factor, atol=1e-3)
            factors.append(factor)
        middle = (new[11, :2] + new[12, :2]) / 2
        np.testing.assert_allclose(middle, (points[11, :2] + points[12, :2]) / 2, atol=1e-4)
        np.testing.assert_array_equal(new[:, 2], points[:, 2])
    by_bone = np.array(factors).reshape(50, len(BONES))
    np.testing.assert_allclose(by_bone[:, 0], by_bone[:, 2], rtol=1e-3)  # both upper arms alike
    assert by_bone.min() >= 0.8 - 1e-4
    assert by_bone.max() <= 1.2 + 1e-4
    assert by_bone[:, 0].min() < 0.85  # the range is used
    assert by_bone[:, 0].max() > 1.15


def test_retargeting_hides_the_ratio_of_shoulders_to_hips(points):
    points[[5, 6, 11, 12], :2] = [[40, 20], [20, 20], [35, 50], [25, 50]]
    ratios = []
    for seed in range(100):
        new = kp.retarget(points, np.random.default_rng(seed))
        ratios.append(np.linalg.norm(new[5, :2] - new[6, :2]) / np.linalg.norm(new[11, :2] - new[12, :2]))
    assert np.min(ratios) < 1.5 < 2.5 < np.max(ratios)  # 2 in the photo


def test_retargeting_without_all_points(points):
    assert not kp.retarget(np.zeros((17, 3), np.float32), np.random.default_rng(0)).any()
    np.testing.assert_allclose(kp.retarget(points, np.random.default_rng(0), jitter=0), points, atol=1e-4)
    points[[7, 11, 12]] = 0  # an elbow and both hips unseen
    new = kp.retarget(points, np.random.default_rng(1))
    assert not new[[7, 11, 12]].any()
    assert np.isfinite(new).all()
    bone, old = new[9, :2] - new[5, :2], points[9, :2] - points[5, :2]  # the wrist hangs on the shoulder instead
    assert abs(bone[0] * old[1] - bone[1] * old[0]) < 1e-2


def test_object_similarity_is_cocos_formula(points):
    assert kp.object_similarity(points, points, 500.0) == 1
    moved = points.copy()
    moved[0, 0] += 3.0  # the nose, whose sigma is .026
    expected = (16 + np.exp(-(3.0**2) / (2 * 500 * (2 * 0.026) ** 2))) / 17
    assert kp.object_similarity(moved, points, 500.0) == pytest.approx(expected)
    truth = points.copy()
    truth[1:, 2] = 0  # only the nose is annotated
    assert kp.object_similarity(moved, truth, 500.0) == pytest.approx(expected * 17 - 16)
    truth[:, 2] = 0
    assert kp.object_similarity(points, truth, 500.0) == 0


def seen(*indices):
    points = np.zeros((17, 3), np.float32)
    points[list(indices)] = [5, 5, 0.9]
    return points


def test_heads_and_busts_show_no_body():
    head, bust, trunk, whole = range(5), range(7), range(13), range(17)
    assert [kp.shows_body(seen(*part)) for part in (head, bust, trunk, whole)] == [False, False, True, True]
    assert [kp.shows_figure(seen(*part)) for part in (head, bust, trunk, whole)] == [False, False, False, True]
    assert not kp.shows_figure(seen(*range(5, 17)))  # without a face
    faint = seen(*whole)
    faint[:, 2] = 0.1
    assert not kp.shows_body(faint)
