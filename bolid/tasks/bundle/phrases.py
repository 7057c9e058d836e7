"""Teaches the bundle's text encoder, before any picture, to tell what its captions say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import trange

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer


def pieces(caption: str) -> list[str]:
    """What a caption is made of: its phrases, and each garment by itself."""
    return [piece for phrase in caption.split(", ") for piece in phrase.split(" and ")]


def teach_phrases(
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    captions: Sequence[str],
    steps: int = 1000,
    batch_size: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
) -> None:
    """Trains the encoder so that the state at a caption's end tells linearly which pieces it has.

    Stable Diffusion's text encoder comes out of CLIP. One that starts at random hands on a pose as three words of
    seventy, and the noise of L_diff hides what they do: the UNet learns colours, but neither pose nor view nor gender.
    Here all pieces weigh the same.

    Args:
        encoder: Is trained in place.
        tokenizer: Of the captions.
        captions: What to learn from.
        steps: Of AdamW, its learning rate falling from `learning_rate` to zero.
        batch_size: Captions a step.
        learning_rate: At first.
        seed: Of the order of captions and of the linear map.
    """
    number = {piece: row for row, piece in enumerate(sorted({p for caption in captions for p in pieces(caption)}))}
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    head = nn.Linear(encoder.config.hidden_size, len(number))
    nn.init.constant_(head.bias, -5.0)  # of hundreds of pieces a caption has a dozen
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    encoder.train()
    for _ in trange(steps, desc="teaching phrases", unit="step", mininterval=1):
        rows = torch.randint(len(captions), (batch_size,), generator=generator)
        some = [captions[row] for row in rows]
        scores = head(end_states(encoder, tokenizer, some))
        loss = F.binary_cross_entropy_with_logits(scores, has_pieces(some, number), reduction="none").sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    encoder.eval()


def end_states(encoder: CLIPTextModel, tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """The states at the captions' ends, (B, D)."""
    tokens = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return encoder(tokens).pooler_output


def has_pieces(captions: Sequence[str], number: Mapping[str, int]) -> Tensor:
    """Which pieces captions have: (B, pieces) of 0 and 1, `number` telling each piece's column."""
    said = torch.zeros(len(captions), len(number))
    for row, caption in enumerate(captions):
        said[row, [number[piece] for piece in pieces(caption)]] = 1.0
    return said
