"""Photos of a person to an `Identity`: what `BoLIDPipeline` needs to draw them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.identity import Identity
from bolid.core.safe_io import open_picture
from bolid.experts.face import FaceEmbedder
from bolid.experts.pose import PoseEstimator
from bolid.models.body_vae import BodyVAE
from bolid.models.crop import crop_to_person


@torch.no_grad()
def identify(
    photos: Sequence[str | Path], encoder: BodyVAE, pose: PoseEstimator, face: FaceEmbedder | None
) -> Identity:
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
        rgb = np.asarray(open_picture(Path(photo)))
        view, keypoints = _view(rgb, encoder, pose)
        views += [] if view is None else [view]
        embedding = face.embed(rgb, keypoints) if face is not None and view is not None else None
        faces += [] if embedding is None else [torch.from_numpy(embedding)]
    if not views:
        raise BolidError(f"nobody was found in {', '.join(map(str, photos)) or 'no photos'}: give photos of one person")
    place = next(encoder.parameters()).device
    crops, points = (torch.stack(parts)[None].to(place) for parts in zip(*views, strict=True))  # (1, M, ...)
    posterior = encoder.encode(crops, points, torch.ones(1, len(views), dtype=torch.bool, device=place))
    return Identity(face=torch.stack(faces).mean(0) if faces else None, body=posterior.mean[0].cpu())


def _view(rgb: np.ndarray, encoder: BodyVAE, pose: PoseEstimator) -> tuple[tuple[Tensor, Tensor] | None, np.ndarray]:
    """The person's crop (3, h, w) and its keypoints (17, 3), or None; and the photo's own keypoints (17, 3)."""
    picture = torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] / 255
    found = pose.estimate(picture)
    if found.score[0] == 0:
        return None, found.keypoints[0].numpy()
    size = tuple(encoder.config.size)
    crop, keypoints = crop_to_person(picture * 2 - 1, found.keypoints, found.box, size)
    return (crop[0], keypoints[0]), found.keypoints[0].numpy()
