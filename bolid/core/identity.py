"""A person, as the branches know them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Identity:
    """Embeddings of one person.

    Attributes:
        face: (512,) mean of the L2-normalised face embeddings, or None if no photo showed a face.
        body: (d,) c_body, the posterior's mean, or None.
    """

    face: Tensor | None = None
    body: Tensor | None = None
