"""Named poses: no limb through the body, and what their names promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from bolid.synthetic.people.body import COCO17, body
from bolid.synthetic.people.mesh import normals
from bolid.synthetic.people.pose import FRAMING_ODDS, ODDS, POSES, draw_pose

AT = {name: i for i, name in enumerate(COCO17)}


def deepest(vertices: np.ndarray) -> float:
    """Metres that forearms and hands are inside trunk, head or legs."""
    model = body()
    hands = model._weight(("wrist", "finger", "metacarpal")) > 0.9
    rest = model.arm < 0.01
    outward = normals(vertices, model.faces)
    distance, nearest = cKDTree(vertices[rest]).query(vertices[hands])
    inward = -((vertices[hands] - vertices[rest][nearest]) * outward[rest][nearest]).sum(1)
    return float(np.where(distance < 0.12, inward, 0).max(initial=0))


def posed(person, name: str, seed: int) -> np.ndarray:
    return body().pose(person.rest, draw_pose(name, np.random.default_rng(seed), body())).vertices


@pytest.mark.parametrize("name", list(POSES))
def test_no_hand_goes_through_the_body(people, name):
    worst = [deepest(posed(person, name, seed)) for person in people[:4] for seed in range(2)]
    # Skin gives way a little where a hand rests; clothes are drawn over the rest.
    assert np.median(worst) < 0.02
    assert max(worst) < 0.07


def test_poses_do_what_their_names_say(people):
    def points(name):
        return body().keypoints(posed(people[2], name, 5))

    raised, standing, sitting, crouching = map(points, ("arms raised", "standing", "sitting", "crouching"))
    assert raised[[AT["left_wrist"], AT["right_wrist"]], 2].min() > raised[AT["nose"], 2]
    assert standing[[AT["left_wrist"], AT["right_wrist"]], 2].max() < standing[AT["left_shoulder"], 2] - 0.3
    assert (points("waving")[[AT["left_wrist"], AT["right_wrist"]], 2] > standing[AT["nose"], 2] - 0.15).sum() == 1
    for low in (sitting, crouching):
        hips, knees = low[[AT["left_hip"], AT["right_hip"]], 2], low[[AT["left_knee"], AT["right_knee"]], 2]
        assert np.abs(hips - knees).max() < 0.25


def test_variation_is_small_and_mirrored(people):
    first, second = (body().keypoints(posed(people[0], "standing", s)) for s in (1, 2))
    assert 0.005 < np.abs(first - second).max() < 0.35
    waved = [body().keypoints(posed(people[0], "waving", s)) for s in range(8)]
    left = [k[AT["left_wrist"], 2] > k[AT["right_wrist"], 2] for k in waved]
    assert 0 < sum(left) < 8


def test_odds_name_poses():
    assert set(ODDS) == set(POSES)
    assert all(set(odds) < set(POSES) for odds in FRAMING_ODDS.values())
