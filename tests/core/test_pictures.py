import numpy as np
import pytest
import torch
from torchvision.transforms.functional import pil_to_tensor

from bolid.core.pictures import to_image, to_uint8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_levels_are_rounded_and_clamped_whatever_the_precision(dtype):
    levels = torch.arange(256).reshape(1, 16, 16).repeat(3, 1, 1)
    assert np.array_equal(to_uint8((levels / 255).to(dtype)), to_uint8((levels / 255).to(dtype).float()))
    assert np.array_equal(to_uint8(levels / 255 + 0.4 / 255)[..., 0], levels[0].numpy())
    assert to_uint8(torch.tensor([-0.5, 1.5, 0.5], requires_grad=True)[:, None, None]).ravel().tolist() == [0, 255, 128]


def test_channels_go_last_and_into_a_picture():
    pictures = torch.rand(2, 3, 4, 5)
    assert to_uint8(pictures).shape == (2, 4, 5, 3)
    assert torch.equal(pil_to_tensor(to_image(pictures[1])), (pictures[1] * 255).round().byte())
