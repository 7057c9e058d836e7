"""The judges' networks: what stands where is not lost."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bolid.models import window
from bolid.models.window import trunk, window_grid
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork, centres
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.synthetic.wording import ATTRIBUTES


@pytest.fixture
def reader():
    torch.manual_seed(0)
    return AnthropometerNetwork((48, 32), (8, 8, 16), 8, 16).eval()


def pictures(count=3, seed=0):
    return torch.rand(count, 3, 48, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_every_attribute_has_its_classes():
    torch.manual_seed(0)
    logits = AttributeNetwork((48, 32), (8, 8), 16)(pictures())
    assert {name: value.shape for name, value in logits.items()} == {n: (3, len(c)) for n, c in ATTRIBUTES.items()}


def test_what_is_read_has_its_shape_and_depends_on_the_picture_alone(reader):
    together = reader(pictures())
    assert (together.ratios.shape, together.keypoints.shape) == ((3, len(RATIOS)), (3, 17, 2))
    assert (together.maps.shape, together.silhouette.shape) == ((3, 17, 24, 16), (3, 1, 24, 16))
    assert torch.equal(centres(together.maps), together.keypoints)
    alone = reader(pictures()[1:2])
    for one, all_ in zip(alone, together, strict=True):
        torch.testing.assert_close(one[0], all_[1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(together.ratios[0], together.ratios[1])


def test_a_saved_network_reads_the_same(reader, tmp_path):
    reader.save_pretrained(tmp_path)
    again = AnthropometerNetwork.from_pretrained(str(tmp_path)).eval()
    assert torch.equal(again(pictures()).ratios, reader(pictures()).ratios)


def test_the_centre_of_a_map_is_its_mass():
    logits = torch.randn(2, 3, 6, 4, generator=torch.Generator().manual_seed(0)) * 3
    mass = logits.flatten(2).softmax(-1).unflatten(-1, (6, 4)).numpy()
    y, x = np.mgrid[0.5:6, 0.5:4]
    expected = np.stack([(mass * x / 4).sum((2, 3)), (mass * y / 6).sum((2, 3))], -1)
    np.testing.assert_allclose(centres(logits).numpy(), expected, atol=1e-6)


def points(shoulders, hips):
    keypoints = torch.zeros(1, 17, 2)
    keypoints[0, 5:7], keypoints[0, 11:13] = torch.tensor(shoulders), torch.tensor(hips)
    return keypoints


def test_the_window_lies_along_the_trunk_whatever_the_pose():
    """Upright, bent to the side and upside down, the same parts of the body fall into the same cells."""
    for shoulders, hips in [
        (([40.0, 30.0], [24.0, 30.0]), ([36.0, 50.0], [28.0, 50.0])),
        (([56.0, 58.0], [56.0, 42.0]), ([36.0, 54.0], [36.0, 46.0])),
        (([24.0, 70.0], [40.0, 70.0]), ([28.0, 50.0], [36.0, 50.0])),
    ]:
        keypoints, size = points(shoulders, hips), torch.Size([96, 64])
        middle, axis = trunk(keypoints, 96)
        assert axis.norm() == pytest.approx(20)
        grid = (window_grid(middle, axis, size)[0] + 1) / 2 * torch.tensor([64.0, 96.0])
        up = np.linspace(*window.TRUNK.along[::-1], window.TRUNK.size[0])
        across = np.linspace(*window.TRUNK.across, window.TRUNK.size[1])
        mid_hips, mid_shoulders, right = (np.mean(p, 0) for p in (hips, shoulders, (shoulders[0],)))
        for row, column in ((0, 0), (5, 3), (23, 19)):
            aside = (right - mid_shoulders) / 8 * 20  # the left shoulder is 8 pixels from the middle
            expected = mid_hips + up[row] * (mid_shoulders - mid_hips) + across[column] * aside
            np.testing.assert_allclose(grid[row, column].numpy(), expected, atol=1e-3)


def test_a_trunk_that_points_at_the_camera_gives_a_small_upright_window():
    middle, axis = trunk(points(([30.0, 40.0], [34.0, 40.0]), ([30.0, 40.0], [34.0, 40.0])), 96)
    assert axis[0].tolist() == pytest.approx([0, -window.SHORTEST * 96])
    assert middle[0].tolist() == pytest.approx([32, 40])


def test_gradients_reach_every_weight(reader):
    reader.train()
    reading = reader(pictures(4))  # backward of 3 corrupts the heap where oneDNN runs two threads on some CPUs
    loss = reading.ratios.square().sum() + F.softplus(reading.silhouette).sum() + reading.keypoints.square().sum()
    loss.backward()
    assert all(p.grad is not None for p in reader.parameters())
