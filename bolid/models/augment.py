"""Augmentation of views: training views must look like real photos with detected keypoints."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class ViewAugment:
    """Random colour, crop, blur, occlusion and keypoint noise, sampled per view.

    Args:
        colour: Maximum change of each channel's brightness and contrast, as a share.
        move: Maximum shift, as a share of the crop's size.
        zoom: Maximum change of scale, as a share.
        blur: Maximum standard deviation of a blur, as a share of the crop's height, to match crops of small photos and
            of generated images.
        blurred: Probability of a blur.
        occlusion: Probability of a grey rectangle that hides a part and its keypoints.
        hidden: Maximum side of the rectangle, as a share of the crop's size.
        lost: Probability that a keypoint is missing.
        jitter: Standard deviation of keypoint coordinates, as a share of the crop's height.
        doubt: Maximum loss of a keypoint's confidence, as a share.
    """

    def __init__(
        self,
        colour: float = 0.15,
        move: float = 0.04,
        zoom: float = 0.08,
        blur: float = 0.01,
        blurred: float = 0.5,
        occlusion: float = 0.2,
        hidden: float = 0.4,
        lost: float = 0.05,
        jitter: float = 0.01,
        doubt: float = 0.3,
    ):
        self.colour, self.move, self.zoom = colour, move, zoom
        self.blur, self.blurred = blur, blurred
        self.occlusion, self.hidden = occlusion, hidden
        self.lost, self.jitter, self.doubt = lost, jitter, doubt

    def __call__(self, pictures: Tensor, keypoints: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Augments N views.

        Args:
            pictures: (N, 3, h, w) in -1..1.
            keypoints: (N, 17, 3) in pixels of the images, confidence.
            generator: Generator on their device.

        Returns:
            The same shapes and ranges; hidden keypoints are all zero.
        """
        pictures, keypoints = self._crop(pictures, keypoints, generator)
        pictures = self._blur(pictures, generator)
        contrast, brightness = self.colour * _uniform(generator, 2, len(pictures), 3, 1, 1)
        pictures = (pictures * (1 + contrast) + brightness).clamp(-1, 1)
        pictures, keypoints = self._occlude(pictures, keypoints, generator)
        return pictures, self._doubt(keypoints, pictures.shape[-2:], generator)

    def _crop(self, pictures: Tensor, keypoints: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Moves a point q to (q − centre) · scale + centre + shift."""
        size = keypoints.new_tensor([pictures.shape[-1], pictures.shape[-2]])
        scale = 1 + self.zoom * _uniform(generator, len(pictures), 1)
        shift = self.move * _uniform(generator, len(pictures), 2)  # right and down, as a share of the size
        matrix = torch.zeros(len(pictures), 2, 3, device=pictures.device)
        matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / scale[:, 0]
        matrix[:, :, 2] = -2 * shift / scale
        grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
        moved = F.grid_sample(pictures, grid, align_corners=False)  # grey (0) outside the image
        places = (keypoints[..., :2] - size / 2) * scale[:, None] + size / 2 + (shift * size)[:, None]
        return moved, torch.cat([places, keypoints[..., 2:]], 2)

    def _blur(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        height = pictures.shape[-2]
        random = torch.rand(2, len(pictures), 1, generator=generator, device=pictures.device)
        sigma = (self.blur * height * random[0] * (random[1] < self.blurred)).clamp_min(1e-3)  # (N, 1) in pixels
        reach = max(1, round(3 * self.blur * height))
        bumps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=pictures.device) / sigma) ** 2)
        bumps = (bumps / bumps.sum(1, keepdim=True)).repeat_interleave(3, 0)  # (3N, taps)
        planes = F.pad(pictures.flatten(0, 1)[None], [reach] * 4, "replicate")  # every plane has its own kernel
        for kernel in (bumps[:, None, :, None], bumps[:, None, None]):
            planes = F.conv2d(planes, kernel, groups=len(bumps))
        return planes[0].unflatten(0, (-1, 3))

    def _occlude(self, pictures: Tensor, keypoints: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        height, width = pictures.shape[-2:]
        size = keypoints.new_tensor([width, height])
        random = torch.rand(5, len(pictures), 1, generator=generator, device=pictures.device)
        extent = random[:2] * self.hidden * (random[4] < self.occlusion)  # (2, N, 1) horizontal and vertical, as shares
        start = random[2:4] * (1 - extent)
        x, y = ((torch.arange(n, device=pictures.device) + 0.5) / n for n in (width, height))
        columns, rows = ((start[k] <= axis) & (axis < (start + extent)[k]) for k, axis in enumerate((x, y)))  # (N, n)
        behind = rows[:, :, None] & columns[:, None]  # (N, h, w)
        low, high = (edge[..., 0].T[:, None] for edge in (start, start + extent))  # (N, 1, 2)
        shares = keypoints[..., :2] / size
        gone = ((shares >= low) & (shares < high)).all(-1, keepdim=True)
        return pictures.masked_fill(behind[:, None], 0.0), torch.where(gone, 0.0, keypoints)

    def _doubt(self, keypoints: Tensor, size: torch.Size, generator: torch.Generator) -> Tensor:
        count, points = keypoints.shape[:2]
        noise = torch.randn(count, points, 2, generator=generator, device=keypoints.device)
        places = keypoints[..., :2] + self.jitter * size[0] * noise
        random = torch.rand(2, count, points, 1, generator=generator, device=keypoints.device)
        confidence = keypoints[..., 2:] * (1 - self.doubt * random[0])
        limit = keypoints.new_tensor([size[1], size[0]])
        inside = ((places >= 0) & (places < limit)).all(-1, keepdim=True)
        seen = inside & (confidence > 0) & (random[1] >= self.lost)
        return torch.where(seen, torch.cat([places, confidence], 2), 0.0)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Uniform random numbers in -1..1."""
    return 2 * torch.rand(shape, generator=generator, device=generator.device) - 1
