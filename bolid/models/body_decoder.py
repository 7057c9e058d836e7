"""Decoder of a held-out photo: p(photo | c_body, pose on the average body, caption)."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.keypoints import KEYPOINTS, LIMBS
from bolid.models.window import TRUNK, trunk_coordinates

LIMBS_VARY = 0.1  # standard deviation over people of the logarithm of a limb's length


class Reconstruction(NamedTuple):
    """Output of the decoder.

    Attributes:
        picture: (B, 3, H, W) in -1..1.
        silhouette: (B, 1, H, W) in 0..1.
    """

    picture: Tensor
    silhouette: Tensor


class BodyDecoder(nn.Module):
    """Decodes the held-out photo from c_body, the pose on the average body, and caption features.

    It also decodes the silhouette of the trunk, and predicts limb lengths linearly from c_body alone.
    """

    def __init__(self, latent_dim: int, text_dim: int, channels: tuple[int, ...], size: tuple[int, int]):
        super().__init__()
        self.grid = (size[0] >> len(channels), size[1] >> len(channels))
        self.stem = nn.Linear(latent_dim + text_dim, channels[0] * self.grid[0] * self.grid[1])
        outputs = [*channels[1:], channels[-1]]
        self.films = nn.ModuleList(nn.Linear(latent_dim + text_dim, 2 * b) for b in outputs)
        self.convs = nn.ModuleList(
            nn.Conv2d(a + KEYPOINTS, b, 3, padding=1) for a, b in zip(channels, outputs, strict=True)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, b) for b in outputs)
        self.head = nn.Conv2d(outputs[-1], 4, 3, padding=1)
        self.limbs = nn.Linear(latent_dim, len(LIMBS))
        inputs = latent_dim + text_dim + 2 * KEYPOINTS
        self.trunk = nn.Sequential(
            nn.Linear(inputs, 256), nn.SiLU(), nn.Linear(256, prod(TRUNK.size)), nn.Unflatten(1, (1, *TRUNK.size))
        )

    def forward(self, code: Tensor, maps: Tensor, text: Tensor) -> Reconstruction:
        """Decodes c_body (B, d), keypoint maps (B, 17, H, W) and caption features (B, text_dim)."""
        condition = torch.cat([code, text], 1)
        x = self.stem(condition).unflatten(1, (-1, *self.grid))  # (B, C, h, w)
        scales = [maps]
        for _ in self.convs[1:]:
            scales.append(F.avg_pool2d(scales[-1], 2))
        for conv, norm, film, joints in zip(self.convs, self.norms, self.films, reversed(scales), strict=True):
            x = F.interpolate(x, scale_factor=2.0)
            scale, shift = film(condition)[..., None, None].chunk(2, 1)
            x = F.silu(norm(conv(torch.cat([x, joints], 1))) * (1 + scale) + shift)
        decoded = self.head(x)
        return Reconstruction(decoded[:, :3].tanh(), decoded[:, 3:].sigmoid())

    def outline(self, code: Tensor, pose: Tensor, text: Tensor, height: int) -> Tensor:
        """The silhouette in the window along the trunk, in which girths have fixed positions: (B, 1, *TRUNK.size) in
        0..1.

        Args:
            code: (B, d) c_body.
            pose: (B, 17, 3) the photo's pose on the average body, in pixels of the crop.
            text: (B, text_dim) features of the photo's caption.
            height: Height of the crop in pixels.
        """
        places = trunk_coordinates(pose, height).flatten(1)
        return self.trunk(torch.cat([code, text, places], 1)).float().sigmoid()

    def lengths(self, code: Tensor) -> Tensor:
        """Lengths of the `LIMBS` relative to the average body's: (B, d) -> (B, 7), positive."""
        return (LIMBS_VARY * self.limbs(code).float()).exp()
