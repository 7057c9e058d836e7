"""Photos of a person to an `Identity`: what `BoLIDPipeline` needs to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.identity import Identity
from bolid.core.safe_io import open_picture
from bolid.experts.face import FaceEmbedder
from bolid.experts.person import Estimator, find_person
from bolid.models.body_vae import BodyVAE
from bolid.models.crop import crop_to_person


@torch.no_grad()
def identify(photos: Sequence[str | Path], encoder: BodyVAE, pose: Estimator, face: FaceEmbedder | None) -> Identity:
    """Reads a person off photos of them alone.

    Args:
        photos: Files; those in which nobody is found are left out.
        encoder: Γ_body.
        pose: Finds the person and the keypoints.
        face: Embeds the face where it is seen; None leaves faces out.

    Raises:
        BolidError: if nobody is found in any of the photos, or a file is not a readable picture.
    """
    views, faces = [], []
    for photo in photos:
        picture = open_picture(Path(photo))
        keypoints, box = find_person(picture, pose)
        if box.any():
            views.append(_view(picture, keypoints, box, tuple(encoder.config.size)))
            embedding = None if face is None else face.embed(np.asarray(picture), keypoints)
            faces += [] if embedding is None else [torch.from_numpy(embedding)]
    if not views:
        raise BolidError(f"nobody was found in {', '.join(map(str, photos)) or 'no photos'}: give photos of one person")
    place = next(encoder.parameters()).device
    crops, points = (torch.stack(parts)[None].to(place) for parts in zip(*views, strict=True))  # (1, M, ...)
    posterior = encoder.encode(crops, points, torch.ones(1, len(views), dtype=torch.bool, device=place))
    return Identity(face=torch.stack(faces).mean(0) if faces else None, body=posterior.mean[0].cpu())


def _view(picture: Image.Image, keypoints: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The person's crop (3, h, w) in -1..1 and its keypoints (17, 3)."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1  # (1, 3, H, W)
    crop, points = crop_to_person(pixels, torch.from_numpy(keypoints)[None], torch.from_numpy(box)[None], size)
    return crop[0], points[0]
