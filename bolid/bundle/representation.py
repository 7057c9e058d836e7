"""Representation alignment (REPA): aligns a UNet's hidden states with a frozen network's features of the photo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from bolid.synthetic.readers.readers import EmbeddedAttributes


class RepresentationAlignment(nn.Module):
    """weight · (1 - cosine) between projected states of the UNet's middle and features of the photo (REPA, Yu et al.
    2025), early in training: later it harms fine structure (Wang et al. 2025).

    Args:
        reader: Folder of a trained `AttributeNetwork`, frozen, which must not be used by metrics.
        weight: Weight of the term.
        until: Share of the fit's steps after which it ends.
        width: Width of the projection's hidden layer.
    """

    def __init__(self, reader: Path, weight: float = 0.5, until: float = 0.33, width: int = 256):
        super().__init__()
        self.reader, self.weight, self.until, self.width = EmbeddedAttributes(reader), weight, until, width
        self.states: Tensor | None = None  # (B, C, h, w) of the UNet's middle, in its last forward
        self.projection: nn.Module = nn.Identity()

    def watch(self, unet: Any) -> None:
        """Hooks this UNet's middle block."""
        states, features = unet.config.block_out_channels[-1], self.reader.network.config.channels[-1]
        self.projection = nn.Sequential(nn.Conv2d(states, self.width, 1), nn.SiLU(), nn.Conv2d(self.width, features, 1))
        unet.mid_block.register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, inputs: Any, states: Tensor) -> None:
        self.states = states

    def loss(self, photos: Tensor) -> Tensor:
        """The loss of the UNet's last forward for the noised photos (B, 3, H, W) in -1..1: scalar."""
        features = self.reader.maps(photos * 0.5 + 0.5)  # (B, D, h', w')
        projected = F.interpolate(self.projection(self.states).float(), features.shape[-2:], mode="bilinear")
        return self.weight * (1 - F.cosine_similarity(projected, features, dim=1)).mean()
