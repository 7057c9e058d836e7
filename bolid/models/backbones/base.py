"""What every frozen text-to-image backbone offers: text, latents, noise prediction, a stock diffusers pipeline."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from diffusers import DDPMScheduler, DiffusionPipeline
from torch import Tensor, nn

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.core.registry import Registry
from bolid.core.safe_io import sha256

Dtype = Literal["float32", "bfloat16", "float16"]
KINDS: Registry[Backbone] = Registry("backbone", "bolid.backbones")

# What a hub's model is made of; no pickle, and none of the copies beside it (a single file of all, fp16, non_ema).
WEIGHTS = ("model", "diffusion_pytorch_model")
WANTED = ["*.json", "*.txt", "*.model"]
WANTED += [f"*/{name}{part}.safetensors" for name in WEIGHTS for part in ("", "-?????-of-?????")]


class TextCondition(NamedTuple):
    """Captions as the UNet sees them: hidden (B, L, D); pooled (B, P) where the family has it, else None."""

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


def find_weights(path: str) -> str:
    """The local folder of a diffusers model: `path` itself, or the hub's snapshot of that id.

    Raises:
        BolidError: If it is neither a model folder nor a hub id that is cached or can be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if resolve(path).is_dir():
        if not (resolve(path) / "model_index.json").is_file():
            raise BolidError(f"{path} holds no model_index.json: give the folder of a diffusers pipeline")
        return str(resolve(path))
    try:
        return snapshot_download(path, local_files_only=True, allow_patterns=WANTED)
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        pass_on = f"no model at {path!r}: it is neither a local folder nor in the hub's cache"
    if path.count("/") != 1 or Path(path).is_absolute() or path.startswith("."):
        raise BolidError(f"{pass_on}; give the path of a diffusers folder, or a hub id such as org/name")
    try:
        return snapshot_download(path, allow_patterns=WANTED, etag_timeout=5)
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        hint = f"`hf download {path}` where there is a network, or copy the folder here and give its path"
        raise BolidError(f"{pass_on}, and downloading it failed ({type(error).__name__}); {hint}") from error


def one_per_picture(image: None, embeds: list[Tensor], *arguments: Any) -> list[Tensor]:
    """Identity embeddings as they are, in place of diffusers' `prepare_ip_adapter_image_embeds`.

    That one repeats them for every prompt: given several people, each picture would attend to everybody's tokens.
    """
    return embeds


class Backbone(nn.Module, ABC):
    """A frozen latent diffusion model; K, V and projectors of conditions are all that will be trained in it.

    A subclass with a `kind` is found by pipelines and cards as soon as its module is imported, or by an entry point of
    the group `bolid.backbones`.

    Args:
        path: Folder of a diffusers pipeline, or a hub id.
        dtype: Precision of the frozen weights.
        gradient_checkpointing: Trade compute for memory in the UNet.

    Raises:
        BolidError: If there is no such model, or its files are incomplete.
    """

    kind: ClassVar[str]  # what cards store of the class

    # the pipeline's components under its own names; Any, since the classes vary with the family
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

    def __init__(self, path: str, dtype: Dtype = "float32", gradient_checkpointing: bool = False):
        super().__init__()
        self.path = path
        folder = find_weights(path)
        try:
            pipe = self.pipeline_class.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                local_files_only=True,
                **self.pipeline_arguments,
            )
        except (OSError, ValueError) as error:
            remedy = "copy it anew" if resolve(path).is_dir() else f"complete it with `hf download {path}`"
            raise BolidError(f"{folder} lacks files of the model or they are broken: {remedy} ({error})") from error
        for name, component in pipe.components.items():  # modules register themselves, the rest are plain attributes
            setattr(self, name, component)
        self.components = tuple(pipe.components)
        self.settings = {k: v for k, v in pipe.config.items() if k not in pipe.components and not k.startswith("_")}
        self.noise_scheduler = DDPMScheduler.from_config(pipe.scheduler.config)  # what training adds noise with
        self.requires_grad_(False)
        if gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def train(self, mode: bool = True) -> Backbone:
        """Frozen, but gradient checkpointing asks for the UNet's train mode; conditions' weights have no dropout."""
        super().train(False)
        self.unet.train(mode)
        return self

    @cached_property
    def pipeline(self) -> DiffusionPipeline:
        """The stock diffusers pipeline over these very modules (no copy), taking one embedding per picture."""
        components = {name: getattr(self, name) for name in self.components}
        pipe = self.pipeline_class(**{**self.settings, **self.pipeline_arguments, **components})
        pipe.set_progress_bar_config(disable=True)
        pipe.prepare_ip_adapter_image_embeds = one_per_picture
        return pipe

    def draw_with(self, scheduler: str) -> None:
        """Draws by another scheduler of diffusers, with the noise schedule that the model was trained with.

        Args:
            scheduler: Name of its class, such as UniPCMultistepScheduler.

        Raises:
            BolidError: If diffusers has none of that name, or it cannot draw for this model.
        """
        kinds = {kind.__name__: kind for kind in self.pipeline.scheduler.compatibles}
        if scheduler not in kinds:
            raise BolidError(f"no scheduler {scheduler!r} can draw here; there are {', '.join(sorted(kinds))}")
        self.pipeline.scheduler = kinds[scheduler].from_config(self.pipeline.scheduler.config)

    @property
    def latent_scale(self) -> int:
        """Pixels per latent cell."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width in pixels of what it draws unless told otherwise."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return height * self.latent_scale, width * self.latent_scale

    @property
    def text_dim(self) -> int:
        """Size D of the caption features."""
        return self.unet.config.cross_attention_dim

    @cached_property
    def text_model(self) -> str:
        """SHA-256 over the text encoders' weights: caption features of two models mean different things."""
        files = sorted(Path(find_weights(self.path)).glob("text_encoder*/*.safetensors"))
        return hashlib.sha256("".join(sha256(file) for file in files).encode()).hexdigest()

    @torch.no_grad()
    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in -1..1 to scaled latents (B, C, h, w): the mode of the VAE's posterior."""
        latents = self.vae.encode(pictures.to(self.vae.dtype)).latent_dist.mode()
        return latents * self.vae.config.scaling_factor

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, C, h, w) to pictures (B, 3, H, W) in about -1..1; keeps its gradient."""
        return self.vae.decode(latents.to(self.vae.dtype) / self.vae.config.scaling_factor).sample

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
        """Captions to what the UNet's cross-attention reads."""

    def encode_nothing(self) -> TextCondition:
        """What guidance steers away from, and dropped captions become: one row."""
        return self.encode_prompt([""])

    @abstractmethod
    def predict(
        self, noisy: Tensor, timesteps: Tensor, text: TextCondition, embeds: list[Tensor], time_ids: Tensor
    ) -> Tensor:
        """The UNet's answer (ε or v).

        Args:
            noisy: z_t (B, C, h, w).
            timesteps: (B,) or a scalar.
            text: Conditions of B captions.
            embeds: One (B, 1, E) embedding per installed condition, zero where dropped; empty without conditions.
            time_ids: (B, 6) size and crop conditions (see `TrainingBatch`), for families that use them.
        """
