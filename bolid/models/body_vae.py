"""The Body-ID encoder Γ_body: a variational autoencoder over sets of views of one person (stage 1)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import ceil, prod
from typing import Any, NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.keypoints import FLIP, KEYPOINTS
from bolid.core.paths import find_folder, resolve
from bolid.core.safe_io import sha256
from bolid.models.body_decoder import BodyDecoder, Reconstruction
from bolid.models.gaussian import SEEN, gaussian_maps
from bolid.models.window import TRUNK, Window, cut, has_trunk, keypoints_in, trunk_coordinates

# Windows at higher resolution: girths have fixed positions in the first whatever the pose, and the face is large.
NEAR = (replace(TRUNK, size=(72, 60)), Window((0.8, 2.0), (-0.6, 0.6), (32, 32)))


class Posterior(NamedTuple):
    """q(c_body | views) = N(mean, exp(logvar)), both (B, d)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """c ~ q by the reparameterisation trick: (B, d)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        return self.mean + noise * (0.5 * self.logvar).exp()

    def kl(self) -> Tensor:
        """KL(q ‖ N(0, I)) in nats: (B,)."""
        return 0.5 * (self.mean**2 + self.logvar.exp() - 1 - self.logvar).sum(1)

    def divergence(self, other: Posterior) -> Tensor:
        """½·(KL(q ‖ other) + KL(other ‖ q)) in nats (Jeffreys, halved): (B,), 0 where both are the same."""
        square, mine, theirs = (self.mean - other.mean) ** 2, self.logvar.exp(), other.logvar.exp()
        return 0.25 * ((square + mine) / theirs + (square + theirs) / mine - 2).sum(1)


class ViewEncoder(nn.Module):
    """Encodes one view's (x·W, W, keypoint maps) into a feature vector; shared by all views.

    The whole view is encoded at 1/`shrink` of its size. Where shoulders and hips are visible, windows of trunk and head
    are encoded at higher resolution, with joint coordinates in trunk lengths.
    """

    def __init__(
        self, channels: tuple[int, ...], width: int, size: tuple[int, int], shrink: int, sigma: float, weighted: bool
    ):
        super().__init__()
        self.shrink, self.sigma, self.weighted = shrink, sigma, weighted
        self.net = _convolutions(channels, width, (size[0] // shrink, size[1] // shrink))
        self.near = nn.ModuleList(_convolutions((channels[0],) * 4, width, window.size) for window in NEAR)
        self.joints = nn.Sequential(nn.Linear(3 * KEYPOINTS, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, pictures: Tensor, keypoints: Tensor) -> Tensor:
        """(N, 3, H, W) with keypoints (N, 17, 3) in their pixels to (N, width)."""
        height = pictures.shape[-2]
        places = torch.cat([trunk_coordinates(keypoints, height), keypoints[..., 2:]], -1)
        close = self.joints(places.flatten(1))
        for window, net in zip(NEAR, self.near, strict=True):
            close = close + net(
                self._weighted_input(cut(pictures, keypoints, window), keypoints_in(keypoints, height, window))
            )
        whole = self.net(self._weighted_input(F.avg_pool2d(pictures, self.shrink), smaller(keypoints, self.shrink)))
        return whole + close * has_trunk(keypoints)[:, None]  # (N, width)

    def _weighted_input(self, pictures: Tensor, keypoints: Tensor) -> Tensor:
        maps = gaussian_maps(keypoints, pictures.shape[-2:], self.sigma)
        weight = maps.amax(1, keepdim=True)  # W = max_i w_i  (N, 1, H, W)
        return torch.cat([pictures * weight if self.weighted else pictures, weight, maps], 1)


def smaller(keypoints: Tensor, times: int) -> Tensor:
    """Keypoints (..., 3) in pixels of an image downsampled by `times`."""
    return keypoints / keypoints.new_tensor([times, times, 1])


def _convolutions(channels: tuple[int, ...], width: int, size: tuple[int, int]) -> nn.Sequential:
    """A network from (N, 21, *size) to (N, width), with one halving per entry of `channels`."""
    stages = [
        nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.SiLU())
        for a, b in pairwise([3 + 1 + KEYPOINTS, *channels])
    ]
    grid = [ceil(n / 2 ** len(channels)) for n in size]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(channels[-1] * prod(grid), width))


class ViewAttention(nn.Module):
    """Permutation-invariant self-attention over views, biased by the log of their pose confidence."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, views: Tensor, weight: Tensor) -> Tensor:
        bias = weight.clamp_min(1e-6).log()[:, None, None, :]  # log pose confidence (B, 1, 1, M)
        qkv = self.qkv(self.norm1(views)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (3, B, h, M, e)
        mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], bias.to(qkv.dtype))
        views = views + self.out(mixed.transpose(1, 2).flatten(2))
        views = views + self.mlp(self.norm2(views))
        return weighted_mean(views, weight)


def weighted_mean(views: Tensor, weight: Tensor) -> Tensor:
    """(B, M, width) and (B, M) -> (B, width); zero if all weights are zero."""
    return (views * weight[..., None]).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-6)


class BodyVAE(ModelMixin, ConfigMixin):
    """q(c_body | views) and p(held-out photo | c_body, retargeted pose, caption).

    Args:
        latent_dim: d, the size of c_body.
        size: Height and width of the person crops.
        shrink: Downsampling factor of the whole view and of the decoded photo.
        sigma: Width of the Gaussian weighting as a share of the person's height.
        text_dim: Size of the decoder's caption features; null for no decoder, which only stage 1 needs.
        channels: Encoder channels, one per halving.
        decoder_channels: Decoder channels, one per doubling up to the decoded size; null for the encoder's in reverse.
        width: Size of a view's feature vector.
        heads: Attention heads over the views; 0 for their weighted mean instead of attention.
        weighted: Whether the encoder receives x·W or the unweighted image x.

    Raises:
        BolidError: If `size` / `shrink` is not divisible by the decoder's upsampling.
    """

    mean_code: Tensor  # (d,) mean of c_body over the training people

    @register_to_config
    def __init__(
        self,
        latent_dim: int = 64,
        size: tuple[int, int] = (96, 64),
        shrink: int = 1,
        sigma: float = 0.10,
        text_dim: int | None = 128,
        channels: tuple[int, ...] = (32, 64, 96, 96),
        decoder_channels: tuple[int, ...] | None = None,
        width: int = 256,
        heads: int = 4,
        weighted: bool = True,
    ):
        super().__init__()
        doublings = tuple(decoder_channels or channels[::-1])
        if any(n % (shrink * 2 ** len(doublings)) for n in size):
            raise BolidError(
                f"size {list(size)} over shrink {shrink} does not fit {len(doublings)} doublings: set sizes that "
                f"{shrink * 2 ** len(doublings)} divides, or other decoder_channels, one per doubling"
            )
        self.views = ViewEncoder(tuple(channels), width, size, shrink, sigma, weighted)
        self.attention = ViewAttention(width, heads) if heads else None
        self.moments = nn.Linear(width, 2 * latent_dim)
        # A code that is mostly noise at first is ignored by the decoder, and the KL term then collapses it.
        nn.init.constant_(self.moments.bias[latent_dim:], -6.0)
        if text_dim is not None:
            self.decoder = BodyDecoder(latent_dim, text_dim, doublings, (size[0] // shrink, size[1] // shrink))
        self.register_buffer("mean_code", torch.zeros(latent_dim))

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> Any:
        """See `ConfigMixin.load_config`; converts settings of version 0.1 (`draws`, `pooling`)."""
        found = super().load_config(*args, **kwargs)
        migrate(found[0] if isinstance(found, tuple) else found)
        return found

    def encoder(self) -> BodyVAE:
        """A copy without the decoder, for inference."""
        settings = {k: v for k, v in self.config.items() if not k.startswith("_")}  # diffusers' own
        alone = BodyVAE.from_config(settings | {"text_dim": None})
        alone.load_state_dict({k: v for k, v in self.state_dict().items() if not k.startswith("decoder.")})
        return alone

    def encode(self, pictures: Tensor, keypoints: Tensor, mask: Tensor) -> Posterior:
        """The posterior of a person from 1 to M views.

        Args:
            pictures: (B, M, 3, h, w) in -1..1, cropped to the person.
            keypoints: (B, M, 17, 3) in pixels of the crops, confidence.
            mask: (B, M) bool, existing views.

        Returns:
            Posterior over (B, d). Without any view (mask all False) it is that of zero features, the same for all
            people.
        """
        seen, counts = self.look(pictures[mask], keypoints[mask])  # missing views are not computed
        features, weight = seen.new_zeros(*mask.shape, seen.shape[-1]), counts.new_zeros(mask.shape)
        features[mask], weight[mask] = seen, counts
        return self.merge(features, weight)

    def look(self, pictures: Tensor, keypoints: Tensor) -> tuple[Tensor, Tensor]:
        """View features (N, width), and the weight (N,) of each view, its pose confidence.

        At inference the features are averaged with those of the mirrored view, since bodies are nearly symmetric.

        Args:
            pictures: (N, 3, h, w) in -1..1, cropped to the person.
            keypoints: (N, 17, 3) in pixels of the crops, confidence.

        Raises:
            BolidError: If the crops' size differs from the encoder's.
        """
        if (found := list(pictures.shape[-2:])) != (size := list(self.config.size)):
            raise BolidError(
                f"the body encoder takes crops of height and width {size}, and received {found}: set the data's "
                f"references.size to {size}; to train an encoder, data.size too"
            )
        features = self.views(pictures, keypoints)
        if not self.training:
            features = (features + self.views(pictures.flip(-1), _mirrored(keypoints, pictures.shape[-1]))) / 2
        return features, keypoints[:, 5:, 2].mean(-1).clamp_min(SEEN)

    def merge(self, features: Tensor, weight: Tensor) -> Posterior:
        """The posterior over (B, d) of view features (B, M, width) with weights (B, M), 0 where missing."""
        together = weighted_mean(features, weight) if self.attention is None else self.attention(features, weight)
        mean, logvar = self.moments(together).float().chunk(2, 1)
        return Posterior(mean, logvar.clamp(-8, 4))

    def decode(self, code: Tensor, keypoints: Tensor, text: Tensor) -> Reconstruction:
        """Decodes the held-out photo at 1/`shrink` of the crops' size.

        Args:
            code: (B, d) c_body.
            keypoints: (B, 17, 3) the photo's pose *on the average body*, in pixels of the decoded photo.
            text: (B, text_dim) caption features.
        """
        height, width = self.config.size
        size = (height // self.config.shrink, width // self.config.shrink)
        return self.decoder(code, gaussian_maps(keypoints, size, 0.03), text)


def migrate(config: dict[str, Any]) -> None:
    """Converts the configuration of an encoder of version 0.1, in place."""
    if not config.pop("draws", True):
        config["text_dim"] = None
    if config.pop("pooling", "attention") == "mean":
        config["heads"] = 0


def _mirrored(keypoints: Tensor, width: int) -> Tensor:
    """Keypoints (N, 17, 3) of mirrored images; coordinates of invisible ones are arbitrary."""
    x, y, confidence = keypoints[:, list(FLIP)].unbind(-1)
    return torch.stack([width - x, y, confidence], -1)


def body_vae_fingerprint(path: str) -> str:
    """SHA-256 of the weights of an encoder's folder, since codes of different encoders are incompatible."""
    return sha256(resolve(path) / SAFETENSORS_WEIGHTS_NAME)


def load_body_vae(path: str) -> BodyVAE:
    """Loads the trained encoder of a folder, from safetensors only.

    Raises:
        BolidError: If it is missing or unreadable.
    """
    remedy = "train one with `bolid fit --config configs/body_vae.yaml`"
    folder = find_folder(path, "config.json", remedy)
    try:
        network, found = BodyVAE.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise BolidError(f"{folder} holds no readable body encoder: copy it anew or {remedy} ({error})") from error
    if wrong := sorted(found["missing_keys"]) or sorted(found["unexpected_keys"]):
        raise BolidError(f"{folder} holds another version's body encoder (it differs in {wrong[0]}): {remedy}")
    return network
