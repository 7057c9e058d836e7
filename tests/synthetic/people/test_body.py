"""Our posing against the body model's own, and measures against what they must do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bolid.synthetic.measures import CALIBRATION, RATIOS
from bolid.synthetic.people.body import COCO17, body
from bolid.synthetic.people.measure import measure, z_score
from bolid.synthetic.people.photo import plan_photo


def test_pose_equals_the_models_own_forward(people):
    person, model = people[3], body()
    turns = plan_photo(person, 0, 0).rotations
    poses = torch.eye(4).repeat(1, len(model.bone_index), 1, 1)
    poses[0, :, :3, :3] = torch.from_numpy(turns)
    changes = person.head_changes | person.changes
    theirs = model.model(
        pose_parameters=poses,
        phenotype_kwargs={k: torch.tensor([v]) for k, v in person.phenotype.items()},
        local_changes_kwargs={k: torch.tensor([float(changes.get(k, 0))]) for k in model.changes},
    )["vertices"][0]
    assert np.abs(model.pose(person.rest, turns).vertices - theirs.numpy()).max() < 1e-5


def test_keypoints_are_where_their_names_say():
    points = dict(zip(COCO17, body().keypoints(body().average), strict=True))
    assert points["left_wrist"][0] > 0.3 > -0.3 > points["right_wrist"][0]
    assert points["nose"][2] > points["left_shoulder"][2] > points["left_hip"][2] > points["left_ankle"][2]
    assert points["nose"][1] < points["left_ear"][1]


def test_ratios_do_not_change_with_scale(people):
    rest = people[0].rest
    larger = type(rest)(rest.vertices * 1.3, rest.bones.copy(), rest.neutral, rest.heads)
    larger.bones[:, :3, 3] *= 1.3
    before, after = measure(rest), measure(larger)
    assert after.stature == pytest.approx(1.3 * before.stature, rel=1e-5)
    for name in RATIOS:
        assert getattr(after, name) == pytest.approx(getattr(before, name), rel=1e-4)


@pytest.mark.parametrize(("change", "name"), [("measure-waist-circ-incr", "waist"), ("measure-hips-circ-incr", "hip"),
                                          ("measure-shoulder-dist-incr", "shoulder"), ("upperlegs-height-incr", "leg"),
                                          ("measure-upperarm-length-incr", "arm")])  # fmt: skip
def test_a_slider_moves_its_measure(people, change, name):
    person = people[1]
    less, more = (measure(body().rest(person.phenotype, {change: v})) for v in (-0.8, 0.8))
    deviation = CALIBRATION[person.gender][name][1]
    assert getattr(more, name) - getattr(less, name) > 0.5 * deviation


def test_calibration_is_of_this_population(people):
    scores = np.array([[z_score(p.measures, n, p.gender) for n in ("stature", *RATIOS)] for p in people])
    assert np.abs(scores).max() < 2.8
    assert np.abs(scores.mean(0)).max() < 1.2
    assert 0.4 < scores.std() < 1.5
