"""InfoNCE between disjoint sets of views of the same person."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(first: Tensor, second: Tensor, identities: list[str], temperature: float = 0.2) -> Tensor:
    """Symmetric InfoNCE (van den Oord et al. 2018) between two codes of each person, with the batch as negatives.

    Args:
        first: (B, d) codes from one set of views; `second` (B, d) from a disjoint set.
        identities: B keys; other samples of the same person are not negatives.
        temperature: Temperature of the softmax over cosines.

    Returns:
        Scalar in nats; log B at chance.
    """
    centre = torch.cat([first, second]).mean(0)  # the common mean would push every cosine towards 1
    first, second = first - centre, second - centre
    logits = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T / temperature  # (B, B)
    people = {key: number for number, key in enumerate(dict.fromkeys(identities))}
    row = torch.tensor([people[key] for key in identities], device=logits.device)
    same = (row[:, None] == row) & ~torch.eye(len(row), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(same, -torch.inf)
    target = torch.arange(len(row), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
