"""Network that predicts body proportions from images, for metrics only: it shares no people with the generators."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.keypoints import KEYPOINTS
from bolid.models.window import TRUNK, trunk, window_grid
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.readers.trunk import Pyramid, Residual

BONES = (
    *((5, 6), (11, 12), (5, 11), (6, 12)),  # the trunk
    *((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)),  # arms and legs
)


class Reading(NamedTuple):
    """Output of an anthropometer.

    Attributes:
        ratios: (B, 7) in the units of `bolid.synthetic.measures.standardise`.
        keypoints: (B, 17, 2) x, y as shares of the image's width and height.
        maps: (B, 17, H/2, W/2) logits of where each keypoint is.
        silhouette: (B, 1, H/2, W/2) logits.
    """

    ratios: Tensor
    keypoints: Tensor
    maps: Tensor
    silhouette: Tensor


class AnthropometerNetwork(ModelMixin, ConfigMixin):
    """An image of a whole figure to `RATIOS` in within-gender standard deviations; 0 is an average body.

    It first predicts joints and silhouette, with their own supervision, and then proportions from joint coordinates and
    a window along the trunk.

    Args:
        size: Height and width of the images; divisible by 2 to the number of channels.
        channels: Channels after each halving.
        fine: Channels of the maps at half the image's size.
        width: Size of the features for proportions.
        near: Channels of the blocks for the window, at least two; the last two halve it.
    """

    @register_to_config
    def __init__(
        self,
        size: tuple[int, int] = (96, 64),
        channels: tuple[int, ...] = (24, 48, 96, 128),
        fine: int = 24,
        width: int = 256,
        near: tuple[int, ...] = (48, 32),
    ):
        super().__init__()
        self.pyramid = Pyramid((size[0], size[1]), tuple(channels), fine)
        self.maps = nn.Conv2d(fine, KEYPOINTS + 1, 1)
        strides = [1] * (len(near) - 2) + [2, 2]
        blocks = (Residual(a, b, n) for (a, b), n in zip(pairwise([fine + 1, *near]), strides, strict=True))
        self.window = nn.Sequential(*blocks, nn.Flatten())
        inputs = near[-1] * (TRUNK.size[0] // 4) * (TRUNK.size[1] // 4) + 2 * KEYPOINTS + len(BONES) + 1 + channels[-1]
        self.head = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, width), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(width, len(RATIOS)),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Reading:
        """Reads images (B, 3, H, W) in -1..1."""
        fine, coarse = self.pyramid(pictures)  # (B, fine, H/2, W/2), (B, C, h, w)
        maps = self.maps(fine).float()
        keypoints, silhouette = centres(maps[:, :-1]), maps[:, -1:]
        pixels = keypoints * keypoints.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        middle, axis = trunk(pixels.detach(), pictures.shape[-2])
        grid = window_grid(middle, axis, pictures.shape[-2:])
        cut = F.grid_sample(torch.cat([fine.float(), silhouette], 1), grid, align_corners=False)
        size = axis.norm(dim=1)[:, None, None]  # (B, 1, 1) in pixels
        pose = ((pixels - middle[:, None]) / size).flatten(1)  # (B, 34) in lengths of the trunk
        ends = pixels[:, torch.tensor(BONES)]  # (B, bones, 2, 2)
        bones = 10 * (ends[:, :, 0] - ends[:, :, 1]).norm(dim=2) / pictures.shape[-2]  # (B, bones)
        scale = 10 * size[:, 0] / pictures.shape[-2]
        features = torch.cat([self.window(cut), pose, bones, scale, coarse.mean((2, 3))], 1)
        return Reading(self.head(features), keypoints, maps[:, :-1], silhouette)


def centres(maps: Tensor) -> Tensor:
    """Centres of mass of maps (B, K, h, w) of logits: (B, K, 2) x, y as shares of width and height."""
    height, width = maps.shape[-2:]
    mass = maps.flatten(2).softmax(-1).unflatten(-1, (height, width))
    rows, columns = ((torch.arange(n, device=maps.device) + 0.5) / n for n in (height, width))
    return torch.stack([mass.sum(-2) @ columns, mass.sum(-1) @ rows], -1)
