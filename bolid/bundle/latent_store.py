"""Latents of photos, encoded once and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bolid.core.safe_io import atomic_path


class LatentStore:
    """The latents of photos, one small file for each.

    File names are hashes of the photo's pixels, and the folder's name is a hash of the autoencoder's weights, so that
    changed photos and other autoencoders never get outdated latents.

    Args:
        folder: Folder of all autoencoders' latents.
        autoencoder: Autoencoder of the latents.
        encode: Photos (B, 3, H, W) in -1..1 to latents (B, C, h, w).
    """

    def __init__(self, folder: Path, autoencoder: nn.Module, encode: Callable[[Tensor], Tensor]):
        self.folder, self.encode = folder / fingerprint(*autoencoder.state_dict().values()), encode
        self.held: dict[str, Tensor] = {}

    def of(self, photos: Tensor) -> Tensor:
        """Photos (B, 3, H, W) in -1..1 -> (B, C, h, w) float32."""
        keys = [fingerprint(photo) for photo in photos]
        for key, photo in zip(keys, photos, strict=True):
            if key not in self.held:
                self.held[key] = self._read(key, photo)
        return torch.stack([self.held[key].float() for key in keys]).to(photos.device)  # autocast stacks no float16

    def _read(self, key: str, photo: Tensor) -> Tensor:
        file = self.folder / f"{key}.npy"
        if not file.is_file():
            latents = self.encode(photo[None])[0].half().cpu()
            with atomic_path(file) as temporary, temporary.open("wb") as stream:
                np.save(stream, latents.numpy())
        return torch.from_numpy(np.load(file))


def fingerprint(*tensors: Tensor) -> str:
    """Sixteen letters that differ where tensors do."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
