"""Trains the bundle's latent space: a small `AutoencoderKL`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.member import MemberTask
from bolid.bundle.metrics.psnr import RoundTripPSNR
from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.schema import TrainingBatch


class AutoencoderTask(MemberTask):
    """L1 + ½·L2 + kl·KL between a picture and its round trip, the person counting more than the background.

    Latents of half the size have to decode to the picture at half its size, so that they are as smooth as pictures and
    diffusion learns them sooner (EQ-VAE, Kouzelis et al. 2025).

    Args:
        channels: Per level; each but the last halves the picture.
        latent_channels: Of the latents.
        layers: Residual blocks a level.
        kl: Weight of the KL term per pixel.
        person_weight: Extra weight of the person's pixels.
        half_weight: Weight of the loss at half the size.
        kwargs: See `MemberTask`.
    """

    trained_buffers = ("spread",)
    spread: Tensor  # () running standard deviation of the latents that diffusion will see: the posterior's mode

    def __init__(
        self,
        channels: tuple[int, ...] = (16, 32, 64),
        latent_channels: int = 4,
        layers: int = 1,
        kl: float = 1e-6,
        person_weight: float = 2.0,
        half_weight: float = 0.25,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vae = new_vae(channels, latent_channels, layers)
        self.kl, self.person_weight, self.half_weight = kl, person_weight, half_weight
        self.register_buffer("spread", torch.tensor(1.0))

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        loss, psnr = self.loss(batch, self.step_generator())
        self.log_dict({"train/loss": loss, "train/psnr": psnr}, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """PSNR of the round trip on the person's pixels, in dB."""
        loss, psnr = self.loss(batch, None)
        self.log_dict({"val/loss": loss, "val/psnr": psnr}, prog_bar=True, batch_size=len(batch), sync_dist=True)

    def loss(self, batch: TrainingBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The loss and the person's PSNR (pictures in 0..1), scalars; the posterior's mode without a generator.

        Where the silhouette is unknown, the whole picture counts as the person.
        """
        posterior = self.vae.encode(batch.pictures).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        person = torch.where(batch.silhouette_known[:, None, None, None], batch.silhouettes, 1.0)
        loss, psnr = self.reconstruction(latents, batch.pictures, person)
        if self.training:
            self.spread.lerp_(posterior.mode().detach().float().std(), max(0.01, 1 / (self.global_step + 1)))
            half = self.reconstruction(*(F.avg_pool2d(each, 2) for each in (latents, batch.pictures, person)))[0]
            loss = loss + self.half_weight * half
        return loss + self.kl * posterior.kl().mean(), psnr

    def reconstruction(self, latents: Tensor, pictures: Tensor, person: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted L1 + ½·L2 of decoded latents and the person's PSNR, scalars; `person` (B, 1, H, W) in 0..1."""
        drawn = self.vae.decode(latents).sample.float()
        weight = 1 + self.person_weight * person
        error = (drawn - pictures).abs() + 0.5 * (drawn - pictures).square()
        mse = F.mse_loss(drawn, pictures, reduction="none") * person
        psnr = -10 * (mse.sum() / person.sum().clamp_min(1) / 3 / 4).log10()
        return (error * weight).mean() / weight.mean(), psnr

    def new_score(self, folder: Path) -> RoundTripPSNR:
        """PSNR on the person's pixels."""
        return RoundTripPSNR(load_vae(folder))

    def export(self, folder: Path) -> None:
        """Writes the autoencoder, its scaling factor making latents of unit variance."""
        self.vae.register_to_config(scaling_factor=round(1 / float(self.spread), 4))
        self.vae.save_pretrained(folder)


def new_vae(channels: tuple[int, ...], latent_channels: int, layers: int) -> AutoencoderKL:
    """An untrained autoencoder (see `AutoencoderTask`)."""
    levels = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(channels),
        layers_per_block=layers,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=96,
    )


def load_vae(folder: Path) -> AutoencoderKL:
    """A trained autoencoder in float32.

    Raises:
        BolidError: If the folder holds none.
    """
    try:
        return AutoencoderKL.from_pretrained(resolve(folder), use_safetensors=True, local_files_only=True).float()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BolidError(
            f"{folder} holds no autoencoder that diffusers wrote ({reason}); "
            "`bolid fit --config configs/tiny/vae.yaml` trains one, and data/tiny/stable-diffusion/vae is one"
        ) from error
