"""The pose condition: it is told where joints are to be, whatever the picture's size and whose joints they are."""

import torch

from bolid.conditions import PoseCondition
from bolid.conditions.pose import pose_numbers
from tests import miniature


def test_it_tells_the_targets_pose_on_the_average_body_in_shares_of_the_picture():
    condition, batch = PoseCondition(), miniature.batch()
    told = condition.embed(batch.references).unflatten(1, (17, 3))
    height, width = miniature.SIZE
    for k in range(17):
        x, y, confidence = batch.keypoints_canonical[1, k].tolist()
        wanted = [2 * x / width - 1, 2 * y / height - 1, 1.0] if confidence else [0.0, 0.0, 0.0]
        torch.testing.assert_close(told[1, k], torch.tensor(wanted))
    batch.keypoints = miniature.batch(seed=1).keypoints  # the person's own: tells the body
    assert torch.equal(condition.embed(batch.references), told.flatten(1))


def test_no_pose_is_no_tokens():
    condition = PoseCondition()
    assert not condition.projector(24)(pose_numbers(torch.zeros(1, 17, 3))).any()
    batch = miniature.batch()
    tokens = condition.projector(24)(condition.embed(batch.references))
    assert tokens.shape == (len(batch), 8, 24)
    assert (tokens.flatten(1).std(0) > 0).all()


def test_the_middle_of_the_picture_is_told_apart_from_nothing():
    middle = torch.tensor([[0.5, 0.5, 0.9]]).repeat(17, 1)
    assert torch.equal(pose_numbers(middle).unflatten(0, (17, 3)), torch.tensor([[0.0, 0.0, 1.0]]).repeat(17, 1))
