"""Pretrains the bundle's text encoder to encode the phrases of captions, and their grades."""

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
    """The pieces of a caption: its phrases, each garment by itself, and a companion's person, clothes and side."""
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
    """Trains the encoder so that the state at a caption's end encodes linearly which pieces it has.

    Stable Diffusion's text encoder is pretrained by CLIP. A randomly initialised one underweights short phrases such as
    the pose; here all pieces weigh the same.

    Args:
        encoder: Encoder to train in place.
        tokenizer: Tokenizer of the captions.
        captions: Training captions.
        steps: Steps of AdamW, with the learning rate falling from `learning_rate` to zero.
        batch_size: Captions a step.
        learning_rate: At first.
        seed: Seed of the order of captions and of the linear map.
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
    """Trains the encoder so that the last six channels from a caption's end on hold the grades of the body in it.

    An encoder of phrases alone does not relate "slim" to "thin" or "stout", so that a UNet has to learn the ten words
    for build one by one. Here they lie on one axis; height, shoulders, waist, hips and legs have axes of their own. All
    other channels, and the states before the end, stay nearly unchanged, so that a trained UNet can continue from here.

    Args:
        encoder: Encoder to train in place.
        tokenizer: Tokenizer of the captions.
        captions: Training captions, some without body phrases.
        steps: Steps of AdamW, with the learning rate rising to `learning_rate` and falling to zero.
        batch_size: Captions a step.
        learning_rate: At most.
        scale: Value of a grade of 1; see `body_grades`.
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
    """Yields random rows of `count` captions for each step: (batch_size,)."""
    generator = torch.Generator().manual_seed(seed)
    for _ in trange(steps, desc=doing, unit="step", mininterval=1):
        yield torch.randint(count, (batch_size,), generator=generator)


def _descend(loss: Tensor, optimizer: Optimizer, schedule: LRScheduler) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()


def _graded_loss(encoder: CLIPTextModel, before: CLIPTextModel, tokens: Tensor, ends: Tensor, grades: Tensor) -> Tensor:
    """Error of the last channels to the grades (B, 6) after the ends (B,), and of others to their former values."""
    size = grades.shape[1]
    with torch.no_grad():
        wanted = before(tokens).last_hidden_state
    masked = torch.arange(tokens.shape[1]) >= ends[:, None]
    graded = torch.where(masked[..., None], grades[:, None], wanted[..., -size:])
    states = encoder(tokens).last_hidden_state
    return F.mse_loss(states[..., -size:], graded) + F.mse_loss(states[..., :-size], wanted[..., :-size])


def tokenize(tokenizer: CLIPTokenizer, captions: Sequence[str]) -> Tensor:
    """Captions' token numbers, (B, L)."""
    return tokenizer(list(captions), padding="max_length", truncation=True, return_tensors="pt").input_ids


def has_pieces(captions: Sequence[str], number: Mapping[str, int]) -> Tensor:
    """Which pieces captions have: (B, pieces) bool; `number` maps a piece to its column."""
    said = torch.zeros(len(captions), len(number), dtype=torch.bool)
    for row, caption in enumerate(captions):
        said[row, [number[piece] for piece in pieces(caption)]] = True
    return said
