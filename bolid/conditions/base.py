"""Base class of conditions: embeddings of the person or the pose, as tokens for the UNet's cross-attention."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.registry import Registry
from bolid.core.schema import References
from bolid.models.attention import bias_free_projector

KINDS: Registry[Condition] = Registry("condition", "bolid.conditions")
MAX_TOKENS = 1024  # maximum number of tokens; an untrusted card must not fill the memory


class Condition(nn.Module, ABC):
    """Embeds references into (B, E); its projector, K and V are installed in the UNet.

    Pipelines and cards find a subclass with a `kind` once its module is imported, or by an entry point of the group
    `bolid.conditions`. The configuration gives a condition its name in methods, cards and identities.

    Args:
        num_tokens: Number of tokens; at least 2, since attention over a single token is constant.
        mult: Hidden width of the projector as a multiple of E.
        dropout: Share of training samples that drop only this condition.
        fingerprint: SHA-256 of the encoder, since embeddings of another one are incompatible; empty if unknown.

    Raises:
        BolidError: If `num_tokens` or `mult` is not a whole number in range.

    Attributes:
        kind: Name of the class in cards.
        personal: Whether the embedding describes a person, rather than the image, such as a pose.
        crop_size: Height and width of the crops that it encodes; None if it encodes no photos.
        reads_faces: Whether it takes face embeddings; the fingerprint is then that of their recogniser.
        reads_bodies: Whether it encodes the body, and so needs photos with shoulders and hips.
    """

    kind: str
    personal = True
    crop_size: tuple[int, int] | None = None
    reads_faces = False
    reads_bodies = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            KINDS.add(cls.kind, cls)

    def __init__(self, num_tokens: int, mult: int, dropout: float, fingerprint: str = ""):
        super().__init__()
        for setting, value, least in (("num_tokens", num_tokens, 2), ("mult", mult, 1)):
            if not isinstance(value, int) or not least <= value <= MAX_TOKENS:
                raise BolidError(f"{self.kind}: {setting}={value!r} must be a whole number of {least} to {MAX_TOKENS}")
        self.num_tokens, self.mult, self.dropout, self.fingerprint = num_tokens, mult, dropout, fingerprint

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that inference needs, as JSON values."""
        return {"num_tokens": self.num_tokens, "mult": self.mult, "fingerprint": self.fingerprint}

    def save_networks(self, folder: Path, name: str) -> dict[str, str]:
        """Writes the condition's encoder into an adapter's folder.

        Args:
            folder: Folder of the adapter.
            name: Name of the condition, the prefix of its folders.

        Returns:
            Constructor argument -> folder inside the adapter's.
        """
        return {}

    def check_fingerprint(self, found: str, where: str) -> None:
        """Refuses another encoder than the condition was trained with.

        Args:
            found: Fingerprint of the encoder.
            where: Path of the encoder, for the message.

        Raises:
            BolidError: If both fingerprints are known and differ.
        """
        if found and self.fingerprint and found != self.fingerprint:
            raise BolidError(
                f"{where} is not the network that the {self.kind} condition was trained with: its SHA-256 begins with "
                f"{found[:8]} and not with {self.fingerprint[:8]}; give the one that was"
            )

    @property
    @abstractmethod
    def embed_dim(self) -> int:
        """Size E of the embedding."""

    @abstractmethod
    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """The embedding of each sample, (B, E), zero where unknown; with a generator, a sample of its distribution.

        Training and inference share this method.
        """

    def known(self, references: References) -> Tensor:
        """(B,) bool: whether the references of each sample hold what the condition encodes."""
        return references.mask.any(1)

    def opposite(self, embeds: Tensor) -> Tensor:
        """The opposite of each embedding (..., E), such as −c_body; zeros if there is none."""
        return torch.zeros_like(embeds)

    def projector(self, cross_attention_dim: int) -> nn.Module:
        """A new projector (N, E) -> (N, num_tokens, D)."""
        return bias_free_projector(self.embed_dim, cross_attention_dim, self.num_tokens, self.mult)
