"""A patch discriminator, which restores detail that L1 blurs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F


@dataclass(frozen=True)
class Adversary:
    """Schedule and weight of the adversarial term.

    Attributes:
        start: Share of the fit's steps after which it starts, when the structure is learned.
        ramp: Share of the steps over which its weight rises, while it learns to distinguish photos from round trips.
        weight: Weight of its gradient at the decoder's output, relative to the reconstruction's (VQGAN, Esser et al.
            2021).
        channels: Channels after each halving; the last layer does not halve.
    """

    start: float = 0.8
    ramp: float = 0.02
    weight: float = 0.1
    channels: tuple[int, ...] = (32, 64, 128)

    def weight_at(self, progress: float) -> float:
        """The weight after a share of the fit's steps."""
        return self.weight * min(1.0, max(0.0, progress - self.start) / self.ramp)


class PatchDiscriminator(nn.Sequential):
    """Images (B, 3, H, W) in -1..1 to patch logits (B, 1, h, w), higher for photos."""

    def __init__(self, channels: tuple[int, ...]):
        strides = [*([2] * (len(channels) - 1)), 1]
        blocks = [
            layer
            for (inputs, outputs), stride in zip(pairwise((3, *channels)), strides, strict=True)
            for layer in (nn.Conv2d(inputs, outputs, 4, stride, 1), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2))
        ]
        super().__init__(*blocks, nn.Conv2d(channels[-1], 1, 4, 1, 1))

    def fooled(self, images: Tensor) -> Tensor:
        """The autoencoder's loss, a scalar whose gradient reaches the images and not the discriminator."""
        fixed = {name: weight.detach() for name, weight in self.named_parameters()}
        return -functional_call(self, fixed, (images,)).mean()

    def hinge(self, photos: Tensor, images: Tensor) -> Tensor:
        """The discriminator's loss, a scalar; `images` are round trips of `photos` and get no gradient."""
        return F.relu(1 - self(photos)).mean() + F.relu(1 + self(images.detach())).mean()


def gradient_ratio(loss: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Ratio of the gradient norms of `loss` and `other` at `weight`: a scalar, at most 1e4."""
    ours, theirs = (torch.autograd.grad(each, weight, retain_graph=True)[0].norm() for each in (loss, other))
    return (ours / theirs.clamp_min(1e-8)).clamp_max(1e4).detach()
