"""Shared convolutional networks of the readers."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut, both strided if the image halves."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class Trunk(nn.Module):
    """Images (B, 3, H, W) in -1..1 to features (B, width) without spatial pooling.

    Args:
        size: Height and width of the images; divisible by 2 to the number of channels.
        channels: Channels after each halving.
        width: Size of the features.
        dropout: Dropout of the features in training.
    """

    places: Tensor

    def __init__(self, size: tuple[int, int], channels: tuple[int, ...], width: int, dropout: float = 0.1):
        super().__init__()
        first, last = channels[0], channels[-1]
        stem = [nn.Conv2d(5, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU(), Residual(first, first, 1)]
        blocks = [Residual(a, b, 2) for a, b in pairwise(channels)]
        grid = (size[0] >> len(channels)) * (size[1] >> len(channels))
        self.net = nn.Sequential(
            *stem, *blocks, nn.Conv2d(last, last // 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(last // 2 * grid, width), nn.ReLU(), nn.Dropout(dropout),
        )  # fmt: skip
        self.register_buffer("places", coordinates(size), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.net(with_coordinates(pictures, self.places))  # (B, width)

    def maps(self, pictures: Tensor) -> Tensor:
        """Feature maps of images (B, 3, H, W) in -1..1: (B, C, h, w)."""
        return self.net[:-6](with_coordinates(pictures, self.places))


class Pyramid(nn.Module):
    """Images (B, 3, H, W) to fine maps at half their size, with context from the coarsest ones.

    Args:
        size: Height and width of the images; divisible by 2 to the number of channels.
        channels: Channels after each halving.
        fine: Channels of the fine maps.
    """

    places: Tensor

    def __init__(self, size: tuple[int, int], channels: tuple[int, ...], fine: int):
        super().__init__()
        first = channels[0]
        self.stem = nn.Sequential(nn.Conv2d(5, first, 5, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.down = nn.ModuleList([Residual(first, first, 1), *(Residual(a, b, 2) for a, b in pairwise(channels))])
        widths = [fine, *channels[1:]]
        self.across = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(channels[:-1], widths[:-1], strict=True))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.mix = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, a, 3, padding=1, bias=False), nn.BatchNorm2d(a), nn.ReLU()) for a in widths[:-1]
        )
        self.register_buffer("places", coordinates(size), persistent=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Fine maps (B, fine, H/2, W/2) and the coarsest ones (B, C, h, w)."""
        x, levels = self.stem(with_coordinates(pictures, self.places)), []
        for block in self.down:
            x = block(x)
            levels.append(x)
        coarse = x
        for level in reversed(range(len(self.mix))):
            up = F.interpolate(self.up[level](x), scale_factor=2.0)
            x = self.mix[level](F.relu(up + self.across[level](levels[level])))
        return x, coarse


def coordinates(size: tuple[int, int]) -> Tensor:
    """y and x of every pixel, (2, H, W) in -1..1."""
    return torch.stack(torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij"))


def with_coordinates(pictures: Tensor, places: Tensor) -> Tensor:
    """Images (B, 3, H, W) concatenated with pixel coordinates (2, H, W): (B, 5, H, W)."""
    together = torch.cat([pictures, places.expand(len(pictures), -1, -1, -1)], 1)
    return together.contiguous(memory_format=torch.channels_last)
