"""A branch: one thing known about who or what is to be drawn, as tokens for the UNet's cross-attention."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.schema import References
from bolid.models.attention import bias_free_projector


class Condition(nn.Module, ABC):
    """Owns its batch key, its token count and its dropout; its K, V and projector live in the UNet.

    Args:
        num_tokens: Tokens the embedding becomes; at least 2, since one token makes its softmax constant.
        mult: Hidden width of the projector over the embedding's size.
        dropout: Share of training samples in which only this branch is dropped.
        fingerprint: SHA-256 of the network that makes the embeddings; those of another mean something else. Empty where
            it is not known.

    Attributes:
        name: In columns, cards and file names.
        personal: Whether the embedding tells who is to be drawn, and not what they do.
    """

    name: str
    personal = True

    def __init__(self, num_tokens: int, mult: int, dropout: float, fingerprint: str = ""):
        super().__init__()
        self.num_tokens, self.mult, self.dropout, self.fingerprint = num_tokens, mult, dropout, fingerprint

    @property
    def arguments(self) -> dict[str, int | str]:
        """The constructor's arguments that inference needs."""
        return {"num_tokens": self.num_tokens, "mult": self.mult, "fingerprint": self.fingerprint}

    def check_fingerprint(self, found: str, where: str) -> None:
        """Refuses a network that is not the one this branch was trained with.

        Args:
            found: The network's fingerprint.
            where: Its path, for the message.

        Raises:
            BolidError: If both fingerprints are known and differ.
        """
        if found and self.fingerprint and found != self.fingerprint:
            raise BolidError(
                f"{where} is not the network that the {self.name} branch was trained with: its SHA-256 begins with "
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

    def opposite(self, embeds: Tensor) -> Tensor:
        """The embedding opposite to each of (..., E), where there is such a thing; zeros where there is not."""
        return torch.zeros_like(embeds)

    def projector(self, cross_attention_dim: int) -> nn.Module:
        """A new projector (N, E) -> (N, num_tokens, D)."""
        return bias_free_projector(self.embed_dim, cross_attention_dim, self.num_tokens, self.mult)
