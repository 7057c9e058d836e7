"""Interface of frozen text-to-image backbones: text, latents, noise prediction, the stock diffusers pipeline."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.registry import Registry
from bolid.core.safe_io import sha256
from bolid.models.backbones.files import find_weights, load_pipeline
from bolid.models.noise import noise_schedule

Dtype = Literal["float32", "bfloat16", "float16"]
KINDS: Registry[Backbone] = Registry("backbone", "bolid.backbones")


def dtype_name(dtype: Dtype | torch.dtype) -> Dtype:
    """The name of a precision, given as name or as torch dtype.

    Raises:
        BolidError: If the dtype is not supported.
    """
    name: Any = str(dtype).removeprefix("torch.")
    if name not in get_args(Dtype):
        raise BolidError(f"dtype={name!r} is none of {', '.join(get_args(Dtype))}")
    return name


class TextCondition(NamedTuple):
    """Encoded captions: hidden states (B, L, D), and pooled (B, P) if the family has it, else None."""

    hidden: Tensor
    pooled: Tensor | None = None

    def take(self, rows: Tensor) -> TextCondition:
        """The captions of these rows (n,)."""
        return TextCondition(self.hidden[rows], None if self.pooled is None else self.pooled[rows])

    def where(self, keep: Tensor, other: TextCondition) -> TextCondition:
        """Row by row: this condition where `keep` (B,) bool, else `other` (of one row or B rows)."""
        hidden = torch.where(keep[:, None, None], self.hidden, other.hidden)
        if self.pooled is None or other.pooled is None:
            return TextCondition(hidden)
        return TextCondition(hidden, torch.where(keep[:, None], self.pooled, other.pooled))


def one_per_picture(image: None, embeds: list[Tensor], *arguments: Any) -> list[Tensor]:
    """Returns embeddings unchanged; replaces diffusers' `prepare_ip_adapter_image_embeds`.

    The original repeats all embeddings for every prompt, so that each image would attend to the tokens of all people.
    """
    return embeds


def keep_in_float32(vae: Any) -> None:
    """Keeps in float32 a VAE in float16 that overflows, and casts its inputs, which have the UNet's dtype."""
    if vae.dtype != torch.float16 or not vae.config.force_upcast:
        return
    decode = partial(type(vae).decode, vae.float())
    vae.decode = lambda latents, *arguments, **more: decode(latents.float(), *arguments, **more)


class Backbone(nn.Module, ABC):
    """A frozen latent diffusion model; only K, V and projectors of conditions are trained in it.

    Pipelines and cards find a subclass with a `kind` once its module is imported, or by an entry point of the group
    `bolid.backbones`.

    Args:
        path: Folder of a diffusers pipeline, a hub id, or a single `.safetensors` file, whose configuration is in the
            folder of the same name beside it or in the hub's cache.
        dtype: Precision of the frozen weights.
        gradient_checkpointing: Trade compute for memory in the UNet.
        variant: Variant of the weights, such as fp16; by default the plain ones, or the only one there is.

    Raises:
        BolidError: If there is no such model, or its files are incomplete.
    """

    kind: ClassVar[str]  # name of the class in cards

    # components under the pipeline's names; typed Any, since their classes depend on the family
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any

    pipeline_class: type[DiffusionPipeline]
    pipeline_arguments: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "kind" in cls.__dict__:
            KINDS.add(cls.kind, cls)

    def __init__(
        self, path: str, dtype: Dtype = "float32", gradient_checkpointing: bool = False, variant: str | None = None
    ):
        super().__init__()
        self.path = path
        pipe = load_pipeline(self.pipeline_class, path, getattr(torch, dtype), self.pipeline_arguments, variant)
        for name, component in pipe.components.items():  # modules are registered, the rest are plain attributes
            setattr(self, name, component)
        self.components = tuple(pipe.components)
        self.settings = {k: v for k, v in pipe.config.items() if k not in pipe.components and not k.startswith("_")}
        self.noise_scheduler = noise_schedule(pipe.scheduler, path)  # for training; the pipeline samples with its own
        self.requires_grad_(False)
        keep_in_float32(self.vae)
        if gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def train(self, mode: bool = True) -> Backbone:
        """Stays in eval mode, except for the UNet with gradient checkpointing; conditions' weights have no dropout."""
        super().train(False)
        self.unet.train(mode)
        return self

    @cached_property
    def pipeline(self) -> DiffusionPipeline:
        """The stock diffusers pipeline over the same modules (no copies), with one embedding per image."""
        components = {name: getattr(self, name) for name in self.components}
        pipe = self.pipeline_class(**{**self.settings, **self.pipeline_arguments, **components})
        pipe.set_progress_bar_config(disable=True)
        pipe.prepare_ip_adapter_image_embeds = one_per_picture
        return pipe

    def draw_with(self, scheduler: str) -> None:
        """Sets another diffusers scheduler for sampling, with the noise schedule of the model's training.

        Args:
            scheduler: Name of its class, such as UniPCMultistepScheduler.

        Raises:
            BolidError: If diffusers has none of that name, or it does not fit this model.
        """
        kinds = {kind.__name__: kind for kind in self.pipeline.scheduler.compatibles}
        if scheduler not in kinds:
            raise BolidError(f"no scheduler {scheduler!r} fits this model; there are {', '.join(sorted(kinds))}")
        self.pipeline.scheduler = kinds[scheduler].from_config(self.pipeline.scheduler.config)

    @property
    def latent_scale(self) -> int:
        """Pixels per latent cell."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Default height and width of generated images in pixels."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return height * self.latent_scale, width * self.latent_scale

    @property
    def text_dim(self) -> int:
        """Size D of the caption features."""
        return self.unet.config.cross_attention_dim

    @cached_property
    def text_model(self) -> str:
        """SHA-256 of the text encoders' weights, since caption features of different encoders are incompatible."""
        found = find_weights(self.path)
        if found.is_file():
            return sha256(found)
        files = sorted(found.glob("text_encoder*/*.safetensors"))
        return hashlib.sha256("".join(sha256(file) for file in files).encode()).hexdigest()

    @torch.no_grad()
    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in -1..1 to scaled latents (B, C, h, w), float32: the mode of the VAE's posterior."""
        with self._vae_precision():
            latents = self.vae.encode(pictures.to(self.vae.dtype)).latent_dist.mode()
        return latents.float() * self.vae.config.scaling_factor

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w) to images (B, 3, H, W) in about -1..1; keeps its gradient."""
        with self._vae_precision():
            return self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample

    def _vae_precision(self) -> AbstractContextManager:
        """Context without float16 autocast if the VAE's configuration says that it overflows."""
        device = self.vae.device.type
        half = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
        return torch.autocast(device, enabled=False) if half and self.vae.config.force_upcast else nullcontext()

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the frozen UNet; trained weights are float32."""
        return self.unet.conv_in.weight.dtype

    def mixed(self) -> AbstractContextManager:
        """Autocast context for a UNet in half precision with trained weights in float32."""
        device, kinds = self.unet.device.type, {p.dtype for p in self.unet.parameters()}
        if len(kinds) == 1 or torch.is_autocast_enabled(device):
            return nullcontext()
        return torch.autocast(device, self.dtype)

    def text_features(self, captions: list[str]) -> Tensor:
        """One vector per caption: the mean of its tokens' hidden states, (B, D)."""
        tokens = self.tokenizer(
            captions,
            padding="max_length",
            truncation=True,
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).input_ids
        # CLIP pads with the end token: count up to and including the first one
        length = (tokens == self.tokenizer.eos_token_id).int().argmax(1, keepdim=True) + 1
        hidden = self.encode_prompt(captions).hidden
        mask = (torch.arange(tokens.shape[1]) < length).to(hidden.device, hidden.dtype)
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    @abstractmethod
    def encode_prompt(self, captions: list[str]) -> TextCondition:
        """Encodes captions for the UNet's cross-attention."""

    def encode_nothing(self) -> TextCondition:
        """The unconditional text embedding, for guidance and dropped captions: one row."""
        return self.encode_prompt([""])

    @abstractmethod
    def predict(
        self, noisy: Tensor, timesteps: Tensor, text: TextCondition, embeds: list[Tensor], time_ids: Tensor
    ) -> Tensor:
        """The UNet's prediction (ε or v).

        Args:
            noisy: z_t (B, C, h, w).
            timesteps: (B,) or a scalar.
            text: B encoded captions.
            embeds: One (B, 1, E) embedding per installed condition, zero where dropped; empty without conditions.
            time_ids: (B, 6) size and crop conditions (see `TrainingBatch`), for families that use them.
        """
