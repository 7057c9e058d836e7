"""Alignment loss: identity conditions should not change the caption's attention (PuLID, Guo et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from bolid.losses.base import Loss


class Attended(NamedTuple):
    """One cross-attention layer: queries (B, h, N, d) of the image's positions, keys (B, h, L, d) of the caption."""

    queries: Tensor
    keys: Tensor


class AlignmentLoss(Loss):
    """Compares queries with and without the conditions for the same captions and noise; mean over cross-attention
    layers.

    It costs a second UNet pass.

    Args:
        semantic: Weight of ‖softmax(K Q_idᵀ/√d) Q_id − softmax(K Qᵀ/√d) Q‖²: which features respond to each word.
        layout: Weight of ‖Q_id − Q‖²: the spatial layout.
        weight: Weight of their sum; see `Loss`, as the rest.
    """

    def __init__(self, semantic: float = 0.6, layout: float = 0.1, weight: float = 1.0, start: int = 0, ramp: int = 0):
        super().__init__(weight, start, ramp)
        self.semantic, self.layout = semantic, layout

    def forward(self, conditioned: Mapping[str, Attended], plain: Mapping[str, Attended]) -> Tensor:
        """Loss of the layers by name, with the conditions and without: scalar."""
        terms = [
            self.semantic * F.mse_loss(answers(conditioned[name]), answers(plain[name]))
            + self.layout * F.mse_loss(conditioned[name].queries.float(), plain[name].queries.float())
            for name in conditioned
        ]
        return torch.stack(terms).mean()


def answers(layer: Attended) -> Tensor:
    """softmax(K Qᵀ/√d) Q: for each word the mean query of the positions that respond to it, (B, h, L, d)."""
    queries = layer.queries.float()
    with torch.autocast(queries.device.type, enabled=False):  # the loss is a difference of nearly equal numbers
        return F.scaled_dot_product_attention(layer.keys.float(), queries, queries)


@contextmanager
def attended(unet: UNet2DConditionModel) -> Iterator[dict[str, Attended]]:
    """Context that records the queries and keys of every cross-attention layer in one UNet pass."""
    found: dict[str, Attended] = {}
    queries: dict[str, Tensor] = {}
    hooks = []

    def watch(name: str, heads: int, attention: Any) -> None:
        def keep_queries(_module: torch.nn.Module, _inputs: tuple, output: Tensor) -> None:
            queries[name] = output.unflatten(-1, (heads, -1)).transpose(1, 2)

        def keep_keys(_module: torch.nn.Module, _inputs: tuple, output: Tensor) -> None:
            found[name] = Attended(queries[name], output.unflatten(-1, (heads, -1)).transpose(1, 2))

        hooks.append(attention.to_q.register_forward_hook(keep_queries))
        hooks.append(attention.to_k.register_forward_hook(keep_keys))

    for processor in unet.attn_processors:
        if processor.endswith("attn2.processor"):
            name = processor.removesuffix(".processor")
            attention: Any = unet.get_submodule(name)
            watch(name, attention.heads, attention)
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
