"""The image prompt: the references' CLIP embedding, as in IP-Adapter (https://arxiv.org/abs/2308.06721)."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from bolid.conditions.base import Condition
from bolid.core.paths import portable
from bolid.core.schema import References
from bolid.vision.clip import ClipModel


class ImageCondition(Condition):
    """CLIP embedding of the references: D numbers to 4 tokens; it also encodes clothes and background.

    Args:
        clip: open_clip model, named as in `ClipModel`.
        pretrained: See `ClipModel`.
        size: Height and width of the crops; equal to the data's `references.size`.
        num_tokens: See `Condition`, as the rest.

    Raises:
        BolidError: If the model is missing or has another fingerprint.
    """

    kind = "image"

    def __init__(
        self,
        clip: str,
        pretrained: str | None = None,
        size: tuple[int, int] = (96, 64),
        num_tokens: int = 4,
        mult: int = 2,
        dropout: float = 0.05,
        fingerprint: str = "",
    ):
        super().__init__(num_tokens, mult, dropout, fingerprint)
        self.source = {"clip": portable(clip), "pretrained": pretrained and portable(pretrained), "size": list(size)}
        self.crop_size = (size[0], size[1])
        self.clip = ClipModel(clip, pretrained)
        found = _fingerprint(self.clip.network)
        self.check_fingerprint(found, clip)
        self.fingerprint = found

    @property
    def arguments(self) -> dict[str, Any]:
        return super().arguments | self.source

    @property
    def embed_dim(self) -> int:
        return self.clip.num_features

    @torch.no_grad()
    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """Mean over the references that exist: (B, D), zero for a sample without any."""
        features = self._encode(references.pictures.flatten(0, 1)).unflatten(0, references.mask.shape)
        there = references.mask.to(features.dtype)[..., None]
        return (features * there).sum(1) / there.sum(1).clamp_min(1)

    def _encode(self, crops: Tensor) -> Tensor:
        """(N, 3, h, w) in -1..1 to (N, D) of norm √D, the scale of standard normal values."""
        # CLIP embeddings have norm 1, far below the scale that the projector's initialisation expects.
        return self.clip.encode_images(crops * 0.5 + 0.5) * self.embed_dim**0.5


def _fingerprint(network: torch.nn.Module) -> str:
    """SHA-256 of the weights; models may come from a hub, a folder or a file."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        # Hash the tensors instead of a file: open_clip loads the same weights from several formats.
        digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
