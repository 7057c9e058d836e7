"""Creates a miniature Stable Diffusion with a vocabulary of the captions' words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from bolid.bundle.prompt_words import RESERVED
from bolid.core.errors import BolidError
from bolid.core.safe_io import atomic_folder
from bolid.core.schema import ImageRecord, compose_caption
from bolid.data.caption_dropout import CaptionDropout

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

GRADED = CaptionDropout(body=0.3, all_body=0.2, gender=0.1, hair=0.1)  # of captions that bodies are graded by


def train_tokenizer(captions: Iterable[str], vocabulary: int = 2500, reserved: str = RESERVED) -> CLIPTokenizer:
    """A CLIP tokenizer (byte-level BPE, 77 tokens) whose merges come from `captions`: their words become one token.

    Args:
        captions: Training captions; the same captions give the same vocabulary.
        vocabulary: Tokens at most; 514 of them are the bytes and the two marks.
        reserved: Words that become a token, too.

    Raises:
        BolidError: If the vocabulary is too small for the reserved words.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    marks = ["<|startoftext|>", "<|endoftext|>"]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters)]

    def build(merges: list[tuple[str, str]]) -> CLIPTokenizer:
        tokens = dict.fromkeys([*pieces, *map("".join, merges), *marks])
        return CLIPTokenizer(vocab={t: i for i, t in enumerate(tokens)}, merges=merges, model_max_length=77)

    cutter = build([]).backend_tokenizer
    words: Counter[str] = Counter()
    for caption, count in [*Counter(captions).items(), (reserved, 1)]:
        for word, _ in cutter.pre_tokenizer.pre_tokenize_str(cutter.normalizer.normalize_str(caption)):
            words[word] += count
    tokenizer = build(learn_merges(words, vocabulary - len(pieces) - len(marks)))
    if len(tokenizer.tokenize(reserved)) > len(reserved.split()):
        raise BolidError(f"a vocabulary of {vocabulary} is too small for the captions' words and the reserved ones")
    return tokenizer


def learn_merges(words: Mapping[str, int], max_merges: int) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016): the most frequent pair becomes one piece, again and again.

    Implemented here since the `tokenizers` library breaks ties at random, which makes later training irreproducible.

    Args:
        words: Word -> how often it occurs.
        max_merges: Maximum number of merges.

    Returns:
        Pairs of pieces in the order in which they merge; a word's last piece ends in `</w>`.
    """
    cut = {word: [*word[:-1], f"{word[-1]}</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < max_merges:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in cut.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        merges.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        cut = {word: merge(parts, merges[-1]) for word, parts in cut.items()}
    return merges


def merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces of a word with every occurrence of `pair` joined, from left to right."""
    joined: list[str] = []
    for part in parts:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def new_stable_diffusion(
    folder: Path,
    vae: Path,
    captions_from: Path,
    channels: tuple[int, ...] = (48, 128, 128),
    heads: tuple[int, ...] = (1, 4, 4),
    width: int = 128,
    layers: int = 1,
    phrase_steps: int = 1500,
    grade_steps: int = 1200,
    seed: int = 0,
) -> None:
    """Writes a miniature Stable Diffusion around a trained autoencoder, untrained but for its captions' words.

    Args:
        folder: Output folder.
        vae: Folder of the autoencoder.
        captions_from: Folder with a manifest; its training captions make the vocabulary.
        channels: Channels of the UNet per level; every level has cross-attention.
        heads: Attention heads per level.
        width: Width of the text encoder and the cross-attention.
        layers: Residual blocks a level.
        phrase_steps: Training steps of the text encoder on the captions' phrases; see `teach_phrases`.
        grade_steps: Further training steps on body grades; see `teach_grades`.
        seed: Seed of the weights.
    """
    from diffusers import StableDiffusionPipeline

    from bolid.bundle.autoencoder import load_vae
    from bolid.bundle.phrases import teach_grades, teach_phrases

    _refuse_to_overwrite(folder)
    if len(channels) != len(heads):
        raise BolidError(f"the UNet has {len(channels)} levels of channels, but {len(heads)} of heads: give as many")
    records = training_records(captions_from)
    captions = [record.caption for record in records]
    tokenizer = train_tokenizer(captions)
    autoencoder = load_vae(vae)
    torch.manual_seed(seed)
    text_encoder = new_text_encoder(tokenizer, width)
    pipeline = StableDiffusionPipeline(
        vae=autoencoder, text_encoder=text_encoder, tokenizer=tokenizer,
        unet=new_unet(channels, heads, autoencoder.config.latent_channels, width, layers), scheduler=new_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    teach_phrases(text_encoder, tokenizer, captions, phrase_steps, seed=seed)
    teach_grades(text_encoder, tokenizer, thinned(records, seed), grade_steps, seed=seed)
    with atomic_folder(folder) as part:
        pipeline.save_pretrained(part)


def grade_text_encoder(folder: Path, source: Path, captions_from: Path, steps: int = 1200, seed: int = 0) -> None:
    """Writes a copy of a Stable Diffusion whose text encoder grades bodies, its other states as they were.

    Args:
        folder: Output folder.
        source: Folder of a Stable Diffusion.
        captions_from: Folder with a manifest, whose training captions are learned from.
        steps: See `teach_grades`.
        seed: Seed of the dropped phrases and of the order of captions.
    """
    from bolid.bundle.phrases import teach_grades
    from bolid.models.backbones import StableDiffusion

    _refuse_to_overwrite(folder)
    backbone, captions = StableDiffusion(str(source)), thinned(training_records(captions_from), seed)
    teach_grades(backbone.text_encoder.requires_grad_(True), backbone.tokenizer, captions, steps, seed=seed)
    with atomic_folder(folder) as part:
        backbone.pipeline.save_pretrained(part)


def training_records(folder: Path) -> list[ImageRecord]:
    """The photos of a manifest that are for training."""
    from bolid.data.manifest import read_manifest, split_of

    return [record for record in read_manifest(folder) if split_of(record.file_name) in ("train", None)]


def thinned(records: Sequence[ImageRecord], seed: int) -> list[str]:
    """Captions of photos, phrases left out as `GRADED` says."""
    rng = np.random.default_rng(seed)
    return [compose_caption(record.phrases, GRADED.draw(rng, record.phrases)) for record in records]


def _refuse_to_overwrite(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BolidError(f"{folder} already holds a model or other files: remove it or give another folder")


def new_text_encoder(tokenizer: CLIPTokenizer, width: int) -> CLIPTextModel:
    """An untrained CLIP text encoder of two layers for the tokenizer's vocabulary."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=77, projection_dim=width,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip


def new_unet(
    channels: Sequence[int], heads: Sequence[int], latent: int, width: int, layers: int
) -> UNet2DConditionModel:
    """An untrained UNet for 24x16 latents of `latent` channels, with cross-attention to texts of size `width` on every
    level.

    The pooled text is also added to the timestep embedding, as in DeepFloyd IF, for global attributes.
    """
    from diffusers import UNet2DConditionModel

    levels = len(channels)
    return UNet2DConditionModel(
        sample_size=(24, 16), in_channels=latent, out_channels=latent,
        down_block_types=("CrossAttnDownBlock2D",) * levels, up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=tuple(channels), layers_per_block=layers, cross_attention_dim=width,
        attention_head_dim=tuple(heads), norm_num_groups=16, transformer_layers_per_block=1,
        resnet_time_scale_shift="scale_shift", addition_embed_type="text", addition_embed_type_num_heads=4,
    )  # fmt: skip


def new_scheduler() -> DDIMScheduler:
    """v-prediction with zero terminal SNR: wall and floor colours are right from pure noise."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=True,
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip
