"""Conditions inside the UNet's cross-attention: diffusers' own IP-Adapter processors, several at once.

Z' = Attn(Q, K_t, V_t) + Σ_i λ_i · Attn(Q, K_i, V_i), one (K_i, V_i) and one projector per condition.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterFaceIDImageProjection, MultiIPAdapterImageProjection
from torch import Tensor, nn

from bolid.core.errors import BolidError


def bias_free_projector(embed_dim: int, cross_attention_dim: int, num_tokens: int, mult: int) -> nn.Module:
    """A projector of embeddings (N, E) to tokens (N, T, D), with all biases zero and frozen.

    A zero embedding then gives zero tokens, and zero tokens are an exact no-op, since K and V have no bias.
    """
    projector = IPAdapterFaceIDImageProjection(embed_dim, cross_attention_dim, mult, num_tokens)
    for name, parameter in projector.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
            parameter.requires_grad_(False)
    return projector


def install_conditions(unet: UNet2DConditionModel, projectors: Sequence[nn.Module]) -> None:
    """Adds K and V per projector to every cross-attention layer, initialised from the text's; freezes all else."""
    if not projectors:  # no conditions: the base model stays unchanged
        return
    processors = {}
    for name, old in unet.attn_processors.items():
        attention = unet.get_submodule(name.removesuffix(".processor"))
        processors[name] = cross_processor(attention, projectors) if name.endswith("attn2.processor") else old
    unet.set_attn_processor(processors)
    # Registers the projectors as diffusers does for IP-Adapters, so that stock pipelines apply them.
    unet.encoder_hid_proj = MultiIPAdapterImageProjection(list(projectors))
    unet.register_to_config(encoder_hid_dim_type="ip_image_proj")


def cross_processor(attention: Attention, projectors: Sequence[nn.Module]) -> IPAdapterAttnProcessor2_0:
    """A layer's processor: per condition a copy of the text's K and V, in float32 whatever the frozen dtype."""
    inner, cross = attention.to_k.weight.shape
    processor = IPAdapterAttnProcessor2_0(inner, cross, num_tokens=[p.num_tokens for p in projectors], scale=1.0)
    for new, old in ((processor.to_k_ip, attention.to_k), (processor.to_v_ip, attention.to_v)):
        for linear in new:
            # The text's K and V are a better start than random weights; IP-Adapter does the same.
            linear.weight.data.copy_(old.weight.data)
    return processor


def set_scales(unet: UNet2DConditionModel, scales: Sequence[float]) -> None:
    """Sets λ of every condition in every layer; λ = 0 skips the condition."""
    for processor in unet.attn_processors.values():
        if isinstance(processor, IPAdapterAttnProcessor2_0):
            processor.scale = list(scales)


def adapter_weights(unet: UNet2DConditionModel, number: int) -> dict[str, Tensor]:
    """The weights of condition `number` in the IP-Adapter split (FaceID layout) that stock diffusers loads.

    Returns:
        `image_proj.proj.{0,2}.*`, `image_proj.norm.*`, `ip_adapter.{1,3,5,…}.to_{k,v}_ip.weight`.
    """
    projector = unet.encoder_hid_proj.image_projection_layers[number].state_dict()
    # Names of diffusers' module -> names in published FaceID checkpoints.
    names = {"ff.net.0.proj": "proj.0", "ff.net.2": "proj.2", "norm": "norm"}
    weights = {f"image_proj.{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in projector.items()}
    cross = [p for p in unet.attn_processors.values() if isinstance(p, IPAdapterAttnProcessor2_0)]
    for layer, processor in enumerate(cross):
        for kind in ("to_k_ip", "to_v_ip"):
            # Published files number all attention layers, of which every second one is cross-attention.
            weights[f"ip_adapter.{2 * layer + 1}.{kind}.weight"] = getattr(processor, kind)[number].weight
    return {k: v.detach().cpu().contiguous().clone() for k, v in weights.items()}


def load_adapter_weights(unet: UNet2DConditionModel, number: int, weights: dict[str, Tensor]) -> None:
    """Loads weights in the layout of `adapter_weights` into an installed condition.

    Raises:
        BolidError: If names or shapes do not fit this UNet and condition.
    """
    names = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "norm": "norm"}
    wanted = adapter_weights(unet, number)
    wrong = sorted(
        k
        for k in wanted.keys() | weights.keys()
        if k not in wanted or k not in weights or wanted[k].shape != weights[k].shape
    )
    if wrong:
        raise BolidError(
            f"the adapter does not fit this backbone: {len(wrong)} tensors differ, the first is {wrong[0]}"
        )
    projector = {k.removeprefix("image_proj."): v for k, v in weights.items() if k.startswith("image_proj.")}
    unet.encoder_hid_proj.image_projection_layers[number].load_state_dict(
        {f"{names[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in projector.items()}
    )
    cross = [p for p in unet.attn_processors.values() if isinstance(p, IPAdapterAttnProcessor2_0)]
    with torch.no_grad():
        for layer, processor in enumerate(cross):
            for kind in ("to_k_ip", "to_v_ip"):
                getattr(processor, kind)[number].weight.copy_(weights[f"ip_adapter.{2 * layer + 1}.{kind}.weight"])
