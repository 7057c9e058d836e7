"""A condition: one thing known of the person or the picture asked for, as tokens for the UNet's cross-attention."""

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
MOST = 1024  # tokens; a hostile card must not fill the memory


class Condition(nn.Module, ABC):
    """Owns its token count and its dropout; its K, V and projector live in the UNet.

    A subclass with a `kind` is found by pipelines and cards as soon as its module is imported, or by an entry point of
    the group `bolid.conditions`. Its name in configurations, methods, cards and identities is the one that the
    configuration gives it.

    Args:
        num_tokens: Tokens the embedding becomes; at least 2, since one token makes its softmax constant.
        mult: Hidden width of the projector over the embedding's size.
        dropout: Share of training samples in which only this condition is dropped.
        fingerprint: SHA-256 of the network that makes the embeddings; those of another mean something else. Empty where
            it is not known.

    Raises:
        BolidError: If `num_tokens` or `mult` is no such number.

    Attributes:
        kind: What cards store of its class.
        personal: Whether the embedding is of a person, and not of the picture asked for, such as a pose.
        crop_size: Height and width of the crops of photos that it reads; None if it reads no photos.
        reads_faces: Whether it reads face embeddings, whose recogniser is then the one that the fingerprint is of.
        reads_bodies: Whether it reads the body, of which photos of a head alone say nothing.
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
            if not isinstance(value, int) or not least <= value <= MOST:
                raise BolidError(f"{self.kind}: {setting}={value!r} must be a whole number of {least} to {MOST}")
        self.num_tokens, self.mult, self.dropout, self.fingerprint = num_tokens, mult, dropout, fingerprint

    @property
    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments that inference needs, as JSON can hold them."""
        return {"num_tokens": self.num_tokens, "mult": self.mult, "fingerprint": self.fingerprint}

    def save_networks(self, folder: Path, name: str) -> dict[str, str]:
        """Writes the networks that travel with an adapter into its folder.

        Args:
            folder: The adapter's.
            name: The condition's; folders begin with it.

        Returns:
            Constructor's argument -> folder inside.
        """
        return {}

    def check_fingerprint(self, found: str, where: str) -> None:
        """Refuses a network that is not the one this condition was trained with.

        Args:
            found: The network's fingerprint.
            where: Its path, for the message.

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
        """The embedding of each person, (B, E), zero where nothing is known; a sample of it if a generator is given.

        Training and inference call it alike.
        """

    def known(self, references: References) -> Tensor:
        """(B,) bool, of which people the references hold what it reads."""
        return references.mask.any(1)

    def opposite(self, embeds: Tensor) -> Tensor:
        """The embedding opposite to each of (..., E), where there is such a thing; zeros where there is not."""
        return torch.zeros_like(embeds)

    def projector(self, cross_attention_dim: int) -> nn.Module:
        """A new projector (N, E) -> (N, num_tokens, D)."""
        return bias_free_projector(self.embed_dim, cross_attention_dim, self.num_tokens, self.mult)
