"""Trains the bundle's latent space: a small `AutoencoderKL`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.adversary import Adversary, PatchDiscriminator, gradient_ratio
from bolid.bundle.member import MemberTask
from bolid.bundle.metrics.face import FaceVerification
from bolid.bundle.metrics.psnr import PersonPSNR
from bolid.bundle.metrics.round_trip import RoundTripScores, round_trip
from bolid.bundle.metrics.sharpness import Sharpness
from bolid.bundle.views import Crops, PhotoView, whole_view
from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import SheetRow
from bolid.metrics.base import real_pictures
from bolid.vision.face import FaceEmbedder

ACROSS, ROWS = 4, 4  # photos on a sample sheet
NAMES = ("photo", "round trip")


@dataclass(frozen=True)
class AutoencoderSize:
    """Sizes of an autoencoder.

    Attributes:
        channels: Per level; each but the last halves the image.
        latent_channels: Channels of the latents.
        layers: Residual blocks a level; the decoder has one more.
        attention: Whether places of the coarsest level attend to each other.
    """

    channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 4
    layers: int = 1
    attention: bool = True


@dataclass(frozen=True)
class AutoencoderWeights:
    """Weights of an autoencoder's loss.

    Attributes:
        kl: Weight of the KL term.
        person: Extra weight of the person's pixels, beside 1 for all pixels.
        head: Extra weight of the head's pixels, beside the person's.
        edges: Weight of the L1 between differences of neighbouring pixels, which are large at eyes and mouths.
        half: Weight of the loss at half size: downsampled latents should decode to the downsampled photo, which smooths
            the latent space and speeds up diffusion training (EQ-VAE, Kouzelis et al. 2025).
    """

    kl: float = 1e-6
    person: float = 2.0
    head: float = 0.0
    edges: float = 0.0
    half: float = 0.25


class AutoencoderTask(MemberTask):
    """L1 + ½·L2 + edges·L1(differences) + kl·KL between photos and their round trips, and late an adversarial term.

    Args:
        size: Sizes of the autoencoder.
        weights: Weights of the loss.
        crops: Trains on crops of the photos; null: on whole photos.
        adversary: A patch discriminator's part, trained by the same optimizer; null: none.
        face: A recogniser that verifies faces after the round trip when the autoencoder is scored; null: none.
        kwargs: See `MemberTask`.
    """

    trained_buffers = ("spread",)
    spread: Tensor  # () running standard deviation of the latents that diffusion will see: the posterior's mode

    def __init__(
        self,
        size: AutoencoderSize = AutoencoderSize(),
        weights: AutoencoderWeights = AutoencoderWeights(),
        crops: Crops | None = None,
        adversary: Adversary | None = None,
        face: Path | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.vae = new_vae(size)
        self.weights, self.crops, self.adversary, self.face = weights, crops, adversary, face
        self.discriminator = PatchDiscriminator(adversary.channels) if adversary else None
        self.register_buffer("spread", torch.tensor(1.0))
        self.shown: list[Tensor] = []  # photos of a validation, for `sample_grid`

    @property
    def progress(self) -> float:
        """Share of the fit's steps that are done, 0..1."""
        return self.global_step / self._trainer.max_steps if self._trainer else 0.0

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The losses of a batch: scalar; logs them."""
        loss, psnr = self.loss(batch, self.step_generator())
        self.log_dict({"train/loss": loss, "train/psnr": psnr}, prog_bar=True)
        return loss

    def loss(self, batch: TrainingBatch, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """The loss and the person's PSNR in dB, scalars; without a generator of whole photos and the mode."""
        view = self.view(batch, generator)
        posterior = self.vae.encode(view.photos).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator)
        images = self.vae.decode(latents).sample.float()
        loss = self.reconstruction(images, view)
        if self.training:
            self.spread.lerp_(posterior.mode().detach().float().std(), max(0.01, 1 / (self.global_step + 1)))
            loss = loss + self.adversarial(images, view, loss) + self.weights.half * self.half(latents, view)
        return loss + self.weights.kl * posterior.kl().mean(), person_psnr(images, view)

    def view(self, batch: TrainingBatch, generator: torch.Generator | None) -> PhotoView:
        """The photos, cropped during the first part of the fit."""
        view = whole_view(batch)
        if self.crops is not None and generator is not None and self.progress < self.crops.until:
            return self.crops.cut(view, generator)
        return view

    def reconstruction(self, images: Tensor, view: PhotoView) -> Tensor:
        """The weighted error of round trips (B, 3, H, W), scalar."""
        weight = 1 + self.weights.person * view.person + self.weights.head * view.head
        weight = weight / weight.mean()
        error = images - view.photos
        edges = [weight[..., 1:] * error.diff(dim=-1).abs(), weight[..., 1:, :] * error.diff(dim=-2).abs()]
        pixels = weight * (error.abs() + 0.5 * error.square())
        return pixels.mean() + self.weights.edges * sum(each.mean() for each in edges)

    def half(self, latents: Tensor, view: PhotoView) -> Tensor:
        """The reconstruction's error at half the size, scalar."""
        latents, *layers = (F.avg_pool2d(each, 2) for each in (latents, *view))
        return self.reconstruction(self.vae.decode(latents).sample.float(), PhotoView(*layers))

    def adversarial(self, images: Tensor, view: PhotoView, reconstruction: Tensor) -> Tensor:
        """The discriminator's loss and what it asks of the autoencoder, scalar; 0 before its start."""
        if self.adversary is None or self.discriminator is None or self.progress < self.adversary.start:
            return images.new_zeros(())
        fooled = self.discriminator.fooled(images)
        ratio = gradient_ratio(reconstruction, fooled, self.vae.decoder.conv_out.weight)
        weight = self.adversary.weight_at(self.progress) * ratio
        return weight * fooled + self.discriminator.hinge(view.photos, images)

    def on_validation_epoch_start(self) -> None:
        """Prepares the scores of a test."""
        self.on_test_start()
        self.shown = []

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Scores round trips of held-out photos."""
        pictures = real_pictures(batch)
        self.score.update(pictures, batch)
        self.shown += pictures[: ACROSS * ROWS - len(self.shown)]

    def on_validation_epoch_end(self) -> None:
        """Logs every finite metric as val/<metric>."""
        scores = {f"val/{name}": value for name, value in self.score.compute().items() if value.isfinite()}
        self.log_dict(scores)

    def sample_grid(self) -> list[SheetRow]:
        """Photos of the validation beside their round trips."""
        if not self.shown:
            return []
        pairs = list(zip(self.shown, round_trip(self.score.autoencoder, torch.stack(self.shown)), strict=True))
        return [sheet_row(pairs[start : start + ACROSS]) for start in range(0, len(pairs), ACROSS)]

    def new_score(self, folder: Path) -> RoundTripScores:
        """PSNR, sharpness and, where there is a recogniser, verification of faces after the round trip."""
        faces = [] if self.face is None else [FaceVerification(FaceEmbedder(self.face))]
        return RoundTripScores(load_vae(folder), [PersonPSNR(), Sharpness(), *faces])

    def export(self, folder: Path) -> None:
        """Writes the autoencoder, its scaling factor making latents of unit variance."""
        self.vae.register_to_config(scaling_factor=round(1 / float(self.spread), 4))
        self.vae.save_pretrained(folder)


def person_psnr(images: Tensor, view: PhotoView) -> Tensor:
    """PSNR of images (B, 3, H, W) in -1..1 on the person's pixels, in dB: scalar."""
    error = (images.detach() - view.photos).square() * view.person
    return -10 * (error.sum() / view.person.sum().clamp_min(1) / 3 / 4).log10()


def sheet_row(pairs: Sequence[tuple[Tensor, Tensor]]) -> SheetRow:
    """Photos (3, H, W) in 0..1, each beside its round trip."""
    columns = {f"{name} {k}": shown for k, pair in enumerate(pairs) for name, shown in zip(NAMES, pair, strict=True)}
    return SheetRow([], columns)


def new_vae(size: AutoencoderSize) -> AutoencoderKL:
    """An untrained autoencoder."""
    levels = len(size.channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=tuple(size.channels),
        layers_per_block=size.layers,
        latent_channels=size.latent_channels,
        norm_num_groups=8,
        sample_size=96,
        mid_block_add_attention=size.attention,
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
