"""Photos or crops of an autoencoder's training step, with masks of the person and the head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch

HEAD = 5  # COCO's first points: nose, eyes, ears
REACH = 0.9  # radius of a head, as a share of the largest distance between two of its points: from ear to ear, mostly


class PhotoView(NamedTuple):
    """Photos, or crops of them.

    Attributes:
        photos: (B, 3, H, W) in -1..1.
        person: (B, 1, H, W) in 0..1; 1 everywhere where the silhouette is unknown.
        head: (B, 1, H, W) 0 or 1.
    """

    photos: Tensor
    person: Tensor
    head: Tensor


@dataclass(frozen=True)
class Crops:
    """Training on crops: cheaper steps with more people.

    Attributes:
        size: Height and width in pixels.
        until: Share of the fit's steps after which whole photos are used, as in inference.
        head_share: Share of the crops that lie around a head, which may be small; the others lie anywhere.
    """

    size: tuple[int, int] = (96, 96)
    until: float = 0.9
    head_share: float = 0.3

    def cut(self, view: PhotoView, generator: torch.Generator) -> PhotoView:
        """A random crop of each photo."""
        height, width = self.size
        places = self.places(view.head, generator).tolist()  # top, left
        return PhotoView(
            *(
                torch.stack([x[:, t : t + height, l : l + width] for x, (t, l) in zip(layer, places, strict=True)])
                for layer in view
            )
        )

    def places(self, heads: Tensor, generator: torch.Generator) -> Tensor:
        """Top and left of each crop, (B, 2) int64, for heads (B, 1, H, W)."""
        photo = tuple(heads.shape[-2:])
        if self.size[0] > photo[0] or self.size[1] > photo[1]:
            raise BolidError(f"crops of {self.size} do not fit photos of {photo}: make crops.size less")
        uniform = torch.rand(len(heads), 5, generator=generator, device=heads.device)
        size = uniform.new_tensor(self.size)
        room = uniform.new_tensor(heads.shape[-2:]) - size
        anywhere = uniform[:, :2] * (room + 1)
        around = head_centres(heads) - size * (
            0.25 + 0.5 * uniform[:, 2:4]
        )  # the centre stays in the crop's inner half
        chosen = (uniform[:, 4:] < self.head_share) & heads.flatten(1).any(1, keepdim=True)
        return torch.where(chosen, around, anywhere).floor().clamp_min(0).minimum(room).long()


def whole_view(batch: TrainingBatch) -> PhotoView:
    """A batch's photos whole."""
    known = batch.silhouette_known[:, None, None, None]
    height, width = batch.pictures.shape[-2:]
    person = torch.where(known, batch.silhouettes, 1.0)
    return PhotoView(batch.pictures, person, head_discs(batch.keypoints, (height, width)))


def head_discs(keypoints: Tensor, size: tuple[int, int]) -> Tensor:
    """Discs that cover heads, seen from any side: (B, 1, H, W) of 0 and 1; empty where two points are not in sight.

    Args:
        keypoints: (B, 17, 3) COCO, x and y in pixels, confidence.
        size: H and W in pixels.
    """
    points, seen = keypoints[:, :HEAD, :2].float(), (keypoints[:, :HEAD, 2] > 0).float()  # (B, 5, 2), (B, 5)
    centre = (points * seen[..., None]).sum(1) / seen.sum(1, keepdim=True).clamp_min(1)  # (B, 2)
    pairs = (points[:, :, None] - points[:, None]).norm(dim=-1) * seen[:, :, None] * seen[:, None]  # (B, 5, 5)
    radius = REACH * pairs.flatten(1).amax(1)  # (B,)
    rows, columns = (torch.arange(n, device=keypoints.device) + 0.5 for n in size)
    distance = torch.hypot(rows[:, None] - centre[:, 1, None, None], columns - centre[:, 0, None, None])
    return (distance < radius[:, None, None]).float()[:, None]


def head_centres(heads: Tensor) -> Tensor:
    """The middle of masks (B, 1, H, W), (B, 2) y and x in pixels; 0 of empty ones."""
    rows, columns = (torch.arange(n, device=heads.device) + 0.5 for n in heads.shape[-2:])
    mass = heads.sum((1, 2, 3)).clamp_min(1)
    y, x = (heads.sum((1, 3)) * rows).sum(1), (heads.sum((1, 2)) * columns).sum(1)
    return torch.stack([y, x], 1) / mass[:, None]
