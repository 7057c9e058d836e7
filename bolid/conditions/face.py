"""The face condition: the mean of the references' face embeddings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bolid.conditions.base import MAX_TOKENS, Condition
from bolid.core.errors import BolidError
from bolid.core.schema import References
from bolid.vision.face import EMBEDDING


class FaceCondition(Condition):
    """Face identity: 512 numbers to 4 tokens. See `Condition` for the arguments.

    The manifest of the photos holds the embeddings and the fingerprint of their recogniser, which a fit fills in.

    Args:
        embed_dim: Size of the embedding: 512 for ArcFace networks, 128 for dlib.
    """

    kind = "face"
    reads_faces = True
    embed_dim = EMBEDDING

    def __init__(
        self,
        num_tokens: int = 4,
        mult: int = 2,
        dropout: float = 0.05,
        fingerprint: str = "",
        embed_dim: int = EMBEDDING,
    ):
        super().__init__(num_tokens, mult, dropout, fingerprint)
        if not isinstance(embed_dim, int) or not 1 <= embed_dim <= MAX_TOKENS:
            raise BolidError(f"face: embed_dim={embed_dim!r} must be a whole number of 1 to {MAX_TOKENS}")
        self.embed_dim = embed_dim

    @property
    def arguments(self) -> dict[str, Any]:
        """See `Condition.arguments`; the default size is not stored."""
        return super().arguments | ({} if self.embed_dim == EMBEDDING else {"embed_dim": self.embed_dim})

    def known(self, references: References) -> Tensor:
        """(B,) bool: whether a face is known in any reference."""
        return references.face_mask.any(1)

    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """Mean over the references with a face: (B, E).

        Raises:
            BolidError: If the photos' embeddings have another size.
        """
        if (size := references.faces.shape[-1]) != self.embed_dim:
            if references.face_mask.any():
                raise BolidError(
                    f"the photos' faces have {size} numbers and the face condition takes {self.embed_dim}: set its "
                    f"embed_dim to {size}, or annotate the photos with the recogniser that it was trained with"
                )
            return references.faces.new_zeros(len(references.faces), self.embed_dim)
        known = references.face_mask.to(references.faces.dtype)[..., None]
        return (references.faces * known).sum(1) / known.sum(1).clamp_min(1)
