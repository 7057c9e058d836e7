"""A diffusers Stable Diffusion as a single file of the original layout, which diffusers reads but does not write."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def save_single_file(backbone, file: Path) -> None:
    """Writes the weights of a `StableDiffusion` with two levels of one layer each, as the miniature has them."""
    weights = {f"model.diffusion_model.{unet_name(k)}": v for k, v in backbone.unet.state_dict().items()}
    for name, value in backbone.vae.state_dict().items():
        one_by_one = ".attentions." in name and name.endswith("weight") and value.ndim == 2
        weights[f"first_stage_model.{vae_name(name)}"] = value[..., None, None] if one_by_one else value
    text = {k.removeprefix("text_model."): v for k, v in backbone.text_encoder.state_dict().items()}
    weights |= {f"cond_stage_model.transformer.text_model.{k}": v for k, v in text.items()}
    save_file({k: v.contiguous().clone() for k, v in weights.items() if torch.is_tensor(v)}, file)


def unet_name(name: str) -> str:
    places = dict(ENDS)
    for level in range(2):
        places[f"down_blocks.{level}.resnets.0"] = f"input_blocks.{2 * level + 1}.0"
        places[f"down_blocks.{level}.attentions.0"] = f"input_blocks.{2 * level + 1}.1"
        places[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{2 * level + 2}.0.op"
        places[f"up_blocks.{level}.upsamplers.0"] = f"output_blocks.{2 * level + 1}.2"
        for layer in range(2):
            places[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{2 * level + layer}.0"
            places[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{2 * level + layer}.1"
    return renamed(name, places, RESNET)


def vae_name(name: str) -> str:
    places = {"conv_norm_out": "norm_out", "mid_block.attentions.0": "mid.attn_1"}
    for level in range(2):
        places[f"mid_block.resnets.{level}"] = f"mid.block_{level + 1}"
        places[f"down_blocks.{level}.downsamplers.0"] = f"down.{level}.downsample"
        places[f"up_blocks.{level}.upsamplers.0"] = f"up.{1 - level}.upsample"
        for layer in range(2):
            places[f"down_blocks.{level}.resnets.{layer}"] = f"down.{level}.block.{layer}"
            places[f"up_blocks.{level}.resnets.{layer}"] = f"up.{1 - level}.block.{layer}"
    return renamed(name, places, VAE_ATTENTION | {"conv_shortcut": "nin_shortcut"})


def renamed(name: str, places: dict[str, str], inner: dict[str, str]) -> str:
    """The name with its place and what is inside a block renamed."""
    for old, new in places.items():
        if name.startswith(f"{old}.") or f".{old}." in name:
            name = name.replace(old, new, 1)
            break
    if "transformer_blocks" not in name:
        for old, new in inner.items():
            if f".{old}." in name:
                return name.replace(old, new, 1)
    return name
