"""Base class of tasks of the bundle's metric networks, trained on photos after a VAE round trip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ModelMixin
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.autoencoder import load_vae
from bolid.bundle.member import MemberTask
from bolid.bundle.metrics.round_trip import round_trip
from bolid.core.pictures import to_bytes
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import ImageMetric, full_precision, real_pictures
from bolid.tasks.once import OncePerPhoto
from bolid.vision.base import Frozen


@dataclass
class Degradation:
    """Degradation of training photos, to resemble generated images.

    Attributes:
        raw: Share of photos without a round trip through the autoencoder.
        shift: Largest move, as a share of the size.
        light: Largest change of brightness and contrast, as a share.
        blur: Share of the photos that are blurred, by up to a 3x3 box.
        noise: Largest standard deviation of noise added to half of them; photos lie in -1..1.
    """

    raw: float = 0.3
    shift: float = 0.03
    light: float = 0.15
    blur: float = 0.3
    noise: float = 0.08


class PerceptionTask(MemberTask):
    """Trains a network for generated images, which are outputs of an autoencoder.

    Args:
        network: Network to train, a diffusers `ModelMixin`.
        vae: Folder of that autoencoder.
        degradation: Degradation of the training photos; null for the default.
        kwargs: See `MemberTask`.
    """

    network: Any  # some ModelMixin

    def __init__(
        self,
        network: ModelMixin,
        vae: Path,
        degradation: Degradation | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.network = network
        self.trained_buffers = tuple(f"network.{name}" for name in network.state_dict())  # batch norm's are among them
        self.vae = Frozen(load_vae(vae))
        self.degradation = degradation or Degradation()
        self.trips = OncePerPhoto()  # the autoencoder is frozen

    def seen(self, batch: TrainingBatch) -> Tensor:
        """The photos (B, 3, H, W) in -1..1 after a round trip, each view of one remembered in 8 bits."""
        trips = self.trips.of(batch, lambda photos: to_bytes(round_trip(self.vae, photos * 0.5 + 0.5)))
        return trips.float() / 127.5 - 1

    def augment(self, batch: TrainingBatch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Training photos, some of them raw, degraded like generated images, mirrored and moved.

        Returns:
            (B, 3, H, W) in -1..1, which are mirrored (B,) bool, and by how much each was moved right and down (B, 2),
            as a share of its size.
        """
        count, worse = len(batch), self.degradation
        uniform = torch.rand(8, count, 1, 1, 1, generator=generator, device=self.device)
        pictures = torch.where(uniform[0] < worse.raw, batch.pictures, self.seen(batch))
        mirrored = uniform[1] < 0.5
        pictures = torch.where(mirrored, pictures.flip(-1), pictures)
        pictures = pictures * (1 + worse.light * (2 * uniform[2] - 1)) + worse.light * (2 * uniform[3] - 1)
        blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        pictures = pictures.lerp(blurred, torch.where(uniform[4] < worse.blur, uniform[5], 0.0))
        noise = torch.randn(pictures.shape, generator=generator, device=self.device)
        pictures = pictures + noise * torch.where(uniform[6] < 0.5, worse.noise * uniform[7], 0.0)
        move = worse.shift * (2 * torch.rand(count, 2, generator=generator, device=self.device) - 1)
        return moved(pictures, move).clamp(-1, 1), mirrored[:, 0, 0, 0], move

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The exported member's score of held-out photos, as in a test."""
        self.score.update(real_pictures(batch), batch)

    def on_validation_epoch_start(self) -> None:
        """As a test does."""
        self.on_test_start()

    def on_validation_epoch_end(self) -> None:
        """Logs every number as val/<metric>."""
        self.log_dict({f"val/{name}": value for name, value in self.score.compute().items()})

    def export(self, folder: Path) -> None:
        """Writes the network as a diffusers-style folder."""
        self.network.save_pretrained(folder)


class RawAndRoundTrip(ImageMetric):
    """A metric of photos after a round trip through an autoencoder, and of the photos as they are as `<name>/raw`.

    Args:
        metric: Any other.
        vae: The autoencoder, frozen.
    """

    def __init__(self, metric: ImageMetric, vae: Frozen) -> None:
        super().__init__()
        self.trips, self.photos, self.vae = metric, metric.clone(), vae
        self.describes = metric.describes

    @full_precision
    def update(self, pictures: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1."""
        self.photos.update(pictures, batch)
        self.trips.update(to_bytes(round_trip(self.vae, pictures)) / 255, batch)

    def compute(self) -> dict[str, Tensor]:
        """The metric's numbers, twice."""
        return self.trips.compute() | {f"{name}/raw": value for name, value in self.photos.compute().items()}

    def reset(self) -> None:
        """Forgets all images."""
        super().reset()
        self.trips.reset()
        self.photos.reset()


def moved(pictures: Tensor, move: Tensor) -> Tensor:
    """Moves images (B, 3, H, W) right and down by (B, 2) shares of their size, repeating their border."""
    matrix = torch.eye(2, 3, device=pictures.device).repeat(len(pictures), 1, 1)
    matrix[:, :, 2] = -2 * move
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
