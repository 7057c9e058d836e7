"""The face condition: the mean of the references' face embeddings."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.conditions.base import Condition
from bolid.core.schema import References


class FaceCondition(Condition):
    """Face identity, 512 numbers to 4 tokens. See `Condition` for the arguments.

    The embeddings come with the photos, and so does the fingerprint of what made them: a fit fills it in.
    """

    kind = "face"
    reads_faces = True
    embed_dim = 512

    def __init__(self, num_tokens: int = 4, mult: int = 2, dropout: float = 0.05, fingerprint: str = ""):
        super().__init__(num_tokens, mult, dropout, fingerprint)

    def known(self, references: References) -> Tensor:
        """(B,) bool, of which people a photo shows the face."""
        return references.face_mask.any(1)

    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """Mean over the references that show a face: (B, 512)."""
        known = references.face_mask.to(references.faces.dtype)[..., None]
        return (references.faces * known).sum(1) / known.sum(1).clamp_min(1)
