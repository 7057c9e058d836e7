"""Caption models of transformers in miniature, randomly initialised, saved as users have them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    CLIPVisionConfig,
    GPT2Config,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<image>", "a", "photo", "of", "ann", "miller", "woman", "walking", "red"]
SIDE = 32
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
PICTURE = {"image_size": SIDE, "patch_size": 8}
TALK = (
    "{% for m in messages %}{% for c in m['content'] %}{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endfor %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    """Of whole words, the unknown ones as one."""
    inner = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        bos_token="[CLS]", eos_token="[SEP]", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip


def _save(model, folder: Path) -> None:
    for weights in model.parameters():
        weights.data *= 8 if weights.ndim > 1 else 1  # large enough for an answer to depend on the picture
    model.save_pretrained(folder)


def save_blip(folder: Path, seed: int = 2) -> Path:
    """BLIP, whose processor takes images alone."""
    torch.manual_seed(seed)
    ends = {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0, "sep_token_id": 3}
    text = SMALL | ends | {"vocab_size": len(WORDS), "encoder_hidden_size": 16, "max_position_embeddings": 64}
    model = BlipForConditionalGeneration(BlipConfig(text_config=text, vision_config=SMALL | PICTURE, projection_dim=16))
    _save(model, folder)
    images = BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    BlipProcessor(images, tokenizer()).save_pretrained(folder)
    return folder


def save_vit_gpt2(folder: Path, seed: int = 2) -> Path:
    """An encoder and a decoder, whose folder holds an image processor and a tokenizer, but no processor of both."""
    torch.manual_seed(seed)
    words = GPT2Config(
        vocab_size=len(WORDS), n_positions=64, n_embd=16, n_layer=1, n_head=2, add_cross_attention=True,
        is_decoder=True, bos_token_id=2, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(**SMALL, **PICTURE), words)
    config.decoder_start_token_id, config.pad_token_id = 2, 0
    model = VisionEncoderDecoderModel(config)
    model.generation_config.decoder_start_token_id = 2
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 3
    _save(model, folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def save_llava(folder: Path, seed: int = 2) -> Path:
    """A chat model, which is asked by a template."""
    torch.manual_seed(seed)
    text = LlamaConfig(**SMALL, vocab_size=len(WORDS), bos_token_id=2, eos_token_id=3, pad_token_id=0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**SMALL, **PICTURE), text_config=text, image_token_id=4, vision_feature_layer=-1,
        pad_token_id=0,
    )  # fmt: skip
    _save(LlavaForConditionalGeneration(config), folder)
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    LlavaProcessor(
        images, tokenizer(), patch_size=8, vision_feature_select_strategy="default", chat_template=TALK,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)  # fmt: skip
    return folder
