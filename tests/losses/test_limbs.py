"""The limbs' lengths against figures drawn with known ones."""

import pytest
import torch

from bolid.core.keypoints import LIMBS
from bolid.losses.limbs import ENDS, KIND, limb_error

PARENTS = ((5, 6), (5, 11), (11, 12), (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))


def figure(lengths, seed=0, scale=1.0):
    """A stick figure (1, 17, 3) whose limbs, trunk aside, have the lengths (7,) times those of the average one."""
    torch.manual_seed(seed)
    points = torch.ones(1, 17, 3)
    points[0, :5, :2] = 0
    points[0, 5, :2] = torch.tensor([20.0, 10.0])
    for start, end in PARENTS:
        length = lengths[KIND[ENDS.index((start, end))]]
        points[0, end, :2] = points[0, start, :2] + length * 10 * torch.randn(2)
    points[..., :2] *= scale
    return points


def test_true_lengths_leave_no_error_however_far_the_camera():
    lengths = torch.tensor([1.2, 1.0, 1.1, 0.8, 0.9, 1.3, 0.7])
    average = figure(torch.ones(7))
    average[:, 12, 2] = 0  # the right hip hangs on the left one, not on the right shoulder
    claimed = (0.5 * lengths)[None]  # all lengths have one scale too many
    error, known = limb_error(claimed, average, figure(lengths, scale=3.0))
    assert error.item() == pytest.approx(0, abs=1e-6)
    assert known.all()
    assert limb_error(torch.ones(1, 7), average, figure(lengths, scale=3.0))[0] > 1e-3


def test_the_error_is_the_share_of_the_squared_lengths_that_the_best_scale_leaves():
    average, own = figure(torch.ones(7), 1), figure(torch.ones(7), 2)
    u, v = (torch.stack([p[0, b, :2] - p[0, a, :2] for a, b in ENDS]).flatten() for p in (average, own))
    best = min(((v - s * u).square().sum() / v.square().sum()).item() for s in torch.linspace(-3, 3, 6001))
    assert limb_error(torch.ones(1, 7), average, own)[0].item() == pytest.approx(best, abs=1e-4)


def test_unseen_limbs_do_not_count_and_few_mean_nothing():
    average, own = figure(torch.ones(7), 1), figure(torch.ones(7), 2)
    own[:, 15, 2] = 0
    moved = own.clone()
    moved[:, 15, :2] = 900
    claimed = torch.ones(1, 7)
    assert limb_error(claimed, average, own)[0] == limb_error(claimed, average, moved)[0]
    own[:, 9:, 2] = 0  # shoulders and upper arms are left
    assert not limb_error(claimed, average, own)[1].any()


def test_lengths_are_learned_from_one_photo():
    lengths = torch.tensor([1.2, 1.0, 1.1, 0.8, 0.9, 1.3, 0.7])
    average, own = figure(torch.ones(7)), figure(lengths)
    average[:, 12, 2] = 0
    guess = torch.zeros(1, 7, requires_grad=True)
    optimiser = torch.optim.LBFGS([guess], max_iter=200)
    optimiser.step(
        lambda: (optimiser.zero_grad(), (e := limb_error(guess.exp(), average, own)[0].sum()).backward(), e)[-1]
    )
    seen = [k for k, name in enumerate(LIMBS) if name != "hips"]
    found = guess.detach().exp()[0, seen]
    assert torch.allclose(found / found[0], lengths[seen] / lengths[0], atol=0.02)
