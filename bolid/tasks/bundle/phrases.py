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
    seventy; here all pieces weigh the same.

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
    tokens, said = tokenize(tokenizer, captions), has_pieces(captions, number)
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    head = nn.Linear(encoder.config.hidden_size, len(number))
    nn.init.constant_(head.bias, -5.0)  # of hundreds of pieces a caption has a dozen
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    encoder.train()
    for _ in trange(steps, desc="teaching phrases", unit="step", mininterval=1):
        rows = torch.randint(len(captions), (batch_size,), generator=generator)
        scores = head(encoder(tokens[rows]).pooler_output)  # of the states at the captions' ends
        loss = F.binary_cross_entropy_with_logits(scores, said[rows].float(), reduction="none").sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    encoder.eval()


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Captions' token numbers, (B, L)."""
    return tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids


def has_pieces(captions: Sequence[str], number: Mapping[str, int]) -> Tensor:
    """Which pieces captions have: (B, pieces) bool, `number` telling each piece's column."""
    said = torch.zeros(len(captions), len(number), dtype=torch.bool)
    for row, caption in enumerate(captions):
        said[row, [number[piece] for piece in pieces(caption)]] = True
    return said
