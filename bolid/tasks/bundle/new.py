"""Untrained members of the bundle: a Stable Diffusion in miniature, with a vocabulary of the captions' words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from bolid.core.errors import BolidError


def train_tokenizer(captions: Iterable[str], vocabulary: int = 1200):
    """A CLIP tokenizer (byte-level BPE, 77 tokens) whose merges come from `captions`: their words become one token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    draft = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    draft.normalizer = normalizers.Lowercase()
    draft.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(" ", "removed"),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False
    )
    draft.train_from_iterator(captions, trainer)
    import json

    merges = [tuple(m) for m in json.loads(draft.to_str())["model"]["merges"]]
    alphabet = sorted(letters)
    pieces = alphabet + [a + "</w>" for a in alphabet] + ["".join(m) for m in merges]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys([*pieces, "<|startoftext|>", "<|endoftext|>"]))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=77)


def new_stable_diffusion(
    folder: Path,
    vae: Path,
    captions_from: Path,
    channels: tuple[int, ...] = (64, 128, 128),
    width: int = 128,
    layers: int = 1,
    seed: int = 0,
) -> None:
    """Writes an untrained miniature Stable Diffusion around a trained autoencoder.

    Args:
        folder: Where to write it.
        vae: Folder of the autoencoder.
        captions_from: Folder with a manifest whose captions make the vocabulary.
        channels: Of the UNet, per level; every level has cross-attention.
        width: Of the text encoder and the cross-attention.
        layers: Residual blocks a level.
        seed: Of the weights.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from bolid.data.manifest import read_manifest

    if (folder / "model_index.json").exists():
        raise BolidError(f"{folder} already holds a model: remove it or give another folder")
    tokenizer = train_tokenizer(r.caption for r in read_manifest(captions_from))
    torch.manual_seed(seed)
    ends = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=77, projection_dim=width, **ends,
    )  # fmt: skip
    levels, autoencoder = len(channels), AutoencoderKL.from_pretrained(str(vae))
    latent = autoencoder.config.latent_channels
    unet = UNet2DConditionModel(
        sample_size=(24, 16), in_channels=latent, out_channels=latent,
        down_block_types=("CrossAttnDownBlock2D",) * levels, up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=tuple(channels), layers_per_block=layers, cross_attention_dim=width,
        attention_head_dim=4, norm_num_groups=16, transformer_layers_per_block=1,
    )  # fmt: skip
    # v-prediction with zero terminal SNR: wall and floor colours are right from pure noise
    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=True,
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing", steps_offset=1,
    )  # fmt: skip
    StableDiffusionPipeline(
        vae=autoencoder, text_encoder=CLIPTextModel(text), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip
