"""The body condition: c_body of the references, from the frozen Γ_body."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.utils import CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME
from torch import Tensor

from bolid.conditions.base import Condition
from bolid.core.errors import BolidError
from bolid.core.paths import find_folder, portable
from bolid.core.safe_io import write_bytes
from bolid.core.schema import References
from bolid.models.body_vae import body_vae_fingerprint, load_body_vae


class BodyCondition(Condition):
    """Body identity: d numbers to 16 tokens; a sample of the posterior in training, its mean at inference.

    Args:
        encoder: Folder of a trained `BodyVAE`.
        num_tokens: See `Condition`, as the rest.
        fingerprint: SHA-256 that the encoder's weights must have; empty for any.

    Raises:
        BolidError: If the encoder is missing, unreadable or has another fingerprint.
    """

    kind = "body"
    reads_bodies = True
    crop_size: tuple[int, int]

    def __init__(self, encoder: str, num_tokens: int = 16, mult: int = 2, dropout: float = 0.05, fingerprint: str = ""):
        super().__init__(num_tokens, mult, dropout, fingerprint)
        self.path = encoder
        self.encoder = load_body_vae(encoder).requires_grad_(False)
        height, width = self.encoder.config.size
        self.crop_size = height, width
        found = body_vae_fingerprint(encoder)
        self.check_fingerprint(found, encoder)
        self.fingerprint = found

    @property
    def arguments(self) -> dict[str, Any]:
        return super().arguments | {"encoder": portable(self.path)}

    def save_networks(self, folder: Path, name: str) -> dict[str, str]:
        """Copies the encoder's files unchanged, since the fingerprint is a hash of the file.

        Raises:
            BolidError: If the file has moved or changed.
        """
        check = "put it back, and write the adapter anew by resuming the fit from its last checkpoint"
        found = find_folder(self.path, CONFIG_NAME, check)
        if not (found / SAFETENSORS_WEIGHTS_NAME).is_file() or body_vae_fingerprint(self.path) != self.fingerprint:
            raise BolidError(f"{found} is no longer the body encoder that was loaded: {check}")
        for file in (CONFIG_NAME, SAFETENSORS_WEIGHTS_NAME):
            write_bytes(Path(folder) / f"{name}_encoder" / file, (found / file).read_bytes())
        return {"encoder": f"{name}_encoder"}

    @property
    def embed_dim(self) -> int:
        return self.encoder.config.latent_dim

    def train(self, mode: bool = True) -> BodyCondition:
        """Keeps the frozen Γ_body in eval mode."""
        # Lightning calls `train()` on the whole task; batch statistics and dropout of the encoder must not change.
        return super().train(False)

    @torch.no_grad()
    def embed(self, references: References, generator: torch.Generator | None = None) -> Tensor:
        """(B, d); zero for a sample without references."""
        posterior = self.encoder.encode(references.pictures, references.keypoints, references.mask)
        # Sampling in training makes the adapter robust to the uncertainty of c_body.
        code = posterior.mean if generator is None else posterior.sample(generator)
        # The posterior of an empty set is not zero, but no references must mean no condition.
        return code * references.mask.any(1, keepdim=True)

    def opposite(self, embeds: Tensor) -> Tensor:
        """The opposite body, −c_body, since c_body is roughly centred."""
        return -embeds
