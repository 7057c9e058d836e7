"""What the tasks of the bundle's judges share: they learn from photos as the latent space shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.schema import PersonBatch
from bolid.experts.base import Frozen
from bolid.metrics.base import PictureMetric
from bolid.tasks.bundle.autoencoder import load_vae
from bolid.tasks.bundle.member import MemberTask


class PerceptionTask(MemberTask):
    """Trains a network that will judge generated pictures, which all come out of an autoencoder.

    Args:
        vae: Folder of that autoencoder.
        raw: Share of the training photos that are shown as they are, not after a round trip through it.
        shift: Largest move of a training photo, as a share of its size.
        light: Largest change of brightness and contrast, as a share.
        blur: Share of the training photos that are blurred, by up to a 3x3 box.
        noise: Largest standard deviation of noise added to half of them; photos lie in -1..1.
        kwargs: See `MemberTask`.
    """

    def __init__(
        self,
        vae: Path,
        raw: float = 0.3,
        shift: float = 0.03,
        light: float = 0.15,
        blur: float = 0.3,
        noise: float = 0.08,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vae = Frozen(load_vae(vae))
        self.raw, self.shift, self.light, self.blur, self.noise = raw, shift, light, blur, noise
        self.trips: dict[str, Tensor] = {}  # the autoencoder is frozen: each photo goes through it once

    def on_fit_start(self) -> None:
        """Refuses mirrored photos, whose round trips would be those of the photo as it was first seen."""
        super().on_fit_start()
        if getattr(getattr(self.trainer, "datamodule", None), "flip", 0.0) > 0:
            raise BolidError(f"{type(self).__name__} mirrors photos itself, after the autoencoder: set data.flip to 0")

    def seen(self, batch: PersonBatch) -> Tensor:
        """The photos (B, 3, H, W) in -1..1 after a round trip, remembered by file name in 8 bits."""
        new = [i for i, name in enumerate(batch.file_names) if name not in self.trips]
        if new:
            for i, trip in zip(new, to_bytes(round_trip(self.vae, batch.pictures[new])).cpu(), strict=True):
                self.trips[batch.file_names[i]] = trip
        return torch.stack([self.trips[name] for name in batch.file_names]).to(self.device).float() / 127.5 - 1

    def augment(self, batch: PersonBatch, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Training photos, some of them raw, degraded as drawn pictures may be, mirrored and moved.

        Returns:
            (B, 3, H, W) in -1..1, which are mirrored (B,) bool, and by how much each was moved right and down (B, 2),
            as a share of its size.
        """
        count = len(batch)
        lots = torch.rand(8, count, 1, 1, 1, generator=generator, device=self.device)
        pictures = torch.where(lots[0] < self.raw, batch.pictures, self.seen(batch))
        mirrored = lots[1] < 0.5
        pictures = torch.where(mirrored, pictures.flip(-1), pictures)
        pictures = pictures * (1 + self.light * (2 * lots[2] - 1)) + self.light * (2 * lots[3] - 1)
        blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
        pictures = pictures.lerp(blurred, torch.where(lots[4] < self.blur, lots[5], 0.0))
        noise = torch.randn(pictures.shape, generator=generator, device=self.device)
        pictures = pictures + noise * torch.where(lots[6] < 0.5, self.noise * lots[7], 0.0)
        move = self.shift * (2 * torch.rand(count, 2, generator=generator, device=self.device) - 1)
        return moved(pictures, move).clamp(-1, 1), mirrored[:, 0, 0, 0], move

    def validation_step(self, batch: PersonBatch, batch_idx: int) -> None:
        """The exported member's score of round trips of held-out photos."""
        self.score.update(self.seen(batch) * 0.5 + 0.5, batch)

    def on_validation_epoch_start(self) -> None:
        """As a test does."""
        self.on_test_start()

    def on_validation_epoch_end(self) -> None:
        """Logs every number as val/<metric>."""
        self.log_dict({f"val/{name}": value for name, value in self.score.compute().items()})


class RawAndRoundTrip(PictureMetric):
    """A metric of photos after a round trip through an autoencoder, and of the photos as they are as `<name>/raw`.

    Args:
        metric: Any other.
        vae: The autoencoder, frozen.
    """

    def __init__(self, metric: PictureMetric, vae: Frozen) -> None:
        super().__init__()
        self.trips, self.photos, self.vae = metric, metric.clone(), vae

    def update(self, pictures: Tensor, batch: PersonBatch) -> None:
        """Adds pictures (B, 3, H, W) in 0..1."""
        self.photos.update(pictures, batch)
        self.trips.update(to_bytes(round_trip(self.vae, pictures * 2 - 1)) / 255, batch)

    def compute(self) -> dict[str, Tensor]:
        """The metric's numbers, twice."""
        return self.trips.compute() | {f"{name}/raw": value for name, value in self.photos.compute().items()}

    def reset(self) -> None:
        """Forgets all pictures."""
        super().reset()
        self.trips.reset()
        self.photos.reset()


@torch.no_grad()
def round_trip(vae: Frozen, pictures: Tensor) -> Tensor:
    """Pictures (B, 3, H, W) in -1..1 through the autoencoder's mode and back, in full precision."""
    with torch.autocast(pictures.device.type, enabled=False):
        latents = vae.network.encode(pictures).latent_dist.mode()
        return vae.network.decode(latents).sample.clamp(-1, 1)


def to_bytes(pictures: Tensor) -> Tensor:
    """Pictures in -1..1 as files hold them: uint8."""
    return ((pictures + 1) * 127.5).round().byte()


def moved(pictures: Tensor, move: Tensor) -> Tensor:
    """Moves pictures (B, 3, H, W) right and down by (B, 2) shares of their size, repeating their border."""
    matrix = torch.eye(2, 3, device=pictures.device).repeat(len(pictures), 1, 1)
    matrix[:, :, 2] = -2 * move
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
