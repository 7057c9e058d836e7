"""Teaches the bundle's text encoder, before any picture, to tell what its captions say, and how much of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm import trange

from bolid.synthetic.wording import body_grades

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

COMPANION = re.compile(r"(with a (?:.* )?(?:wo)?man)(?= in an? ) (in .*)(?= on the (?:left|right)$) (on the .*)")


def pieces(caption: str) -> list[str]:
    """What a caption is made of: its phrases, and each garment by itself; of a companion who, clothes and side."""
    parts = [part for phrase in caption.split(", ") for part in COMPANION.split(phrase) if part]
    return [piece for part in parts for piece in part.split(" and ")]


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
    torch.manual_seed(seed)
    head = nn.Linear(encoder.config.hidden_size, len(number))
    nn.init.constant_(head.bias, -5.0)  # of hundreds of pieces a caption has a dozen
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    ends = (tokens == tokenizer.eos_token_id).int().argmax(1)
    encoder.train()
    for rows in _batches(len(captions), batch_size, steps, seed, "teaching phrases"):
        shown = tokens[rows, : int(ends[rows].max()) + 1]  # attention is causal: no state depends on what follows
        scores = head(encoder(shown).pooler_output)  # of the states at the captions' ends
        loss = F.binary_cross_entropy_with_logits(scores, said[rows].float(), reduction="none").sum(1).mean()
        _descend(loss, optimizer, schedule)
    encoder.eval()


def teach_grades(
    encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    captions: Sequence[str],
    steps: int = 1200,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    scale: float = 1.5,
    seed: int = 0,
) -> None:
    """Trains the encoder so that the last six numbers of the states from a caption's end on grade the body it tells of.

    To an encoder that knows phrases apart, "slim" and "thin" are as strange to each other as to "stout", and a UNet
    has to learn the ten words for build one by one. Now they lie on one line, with height, shoulders, waist, hips and
    legs beside it. All other numbers, and those of the states before the end, stay about what they were, so that a
    trained UNet goes on from here.

    Args:
        encoder: Is trained in place.
        tokenizer: Of the captions.
        captions: What to learn from, body phrases left out of some.
        steps: Of AdamW, its learning rate rising to `learning_rate` and falling to zero.
        batch_size: Captions a step.
        learning_rate: At most.
        scale: What a grade of 1 is written as; see `body_grades`.
        seed: Of the order of captions.
    """
    before = copy.deepcopy(encoder).eval()
    tokens = tokenize(tokenizer, captions)
    grades = scale * torch.tensor([body_grades(caption) for caption in captions])
    ends = (tokens == tokenizer.eos_token_id).int().argmax(1)
    optimizer = torch.optim.AdamW(encoder.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    for rows in _batches(len(captions), batch_size, steps, seed, "teaching grades"):
        length = min(int(ends[rows].max()) + 4, tokens.shape[1])  # the padding's states differ only by their place
        loss = _graded_loss(encoder, before, tokens[rows, :length], ends[rows], grades[rows])
        _descend(loss, optimizer, schedule)


def _batches(count: int, batch_size: int, steps: int, seed: int, doing: str) -> Iterator[Tensor]:
    """Which of `count` captions each step learns from, drawn at random: (batch_size,)."""
    generator = torch.Generator().manual_seed(seed)
    for _ in trange(steps, desc=doing, unit="step", mininterval=1):
        yield torch.randint(count, (batch_size,), generator=generator)


def _descend(loss: Tensor, optimizer: Optimizer, schedule: LRScheduler) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()


def _graded_loss(encoder: CLIPTextModel, before: CLIPTextModel, tokens: Tensor, ends: Tensor, grades: Tensor) -> Tensor:
    """How far the last numbers are from the grades (B, 6) after the ends (B,), and all others from what they were."""
    size = grades.shape[1]
    with torch.no_grad():
        wanted = before(tokens).last_hidden_state
    told = torch.arange(tokens.shape[1]) >= ends[:, None]
    graded = torch.where(told[..., None], grades[:, None], wanted[..., -size:])
    states = encoder(tokens).last_hidden_state
    return F.mse_loss(states[..., -size:], graded) + F.mse_loss(states[..., :-size], wanted[..., :-size])


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Captions' token numbers, (B, L)."""
    return tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids


def has_pieces(captions: Sequence[str], number: Mapping[str, int]) -> Tensor:
    """Which pieces captions have: (B, pieces) bool, `number` telling each piece's column."""
    said = torch.zeros(len(captions), len(number), dtype=torch.bool)
    for row, caption in enumerate(captions):
        said[row, [number[piece] for piece in pieces(caption)]] = True
    return said
