"""View features of photos of many people, and the codes of any set of a person's photos."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bolid.core.schema import joined
from bolid.models.body_vae import BodyVAE, Posterior

VIEWS = 4  # photos of a person in one set


@dataclass
class Looks:
    """View features of N photos.

    Attributes:
        features: (N, width) features of `BodyVAE.look`, and their `weight` (N,).
        keypoints: (N, 17, 3) keypoints of the pose on the average body.
        text: (N, D) caption features.
        proportions: (N, K) true proportions, see `ImageRecord`; NaN if unknown.
        identities: N identities.
        attributes: N mappings of the full caption's attributes, attribute -> class.
        names: N file names, which sort a person's photos.
    """

    features: Tensor
    weight: Tensor
    keypoints: Tensor
    text: Tensor
    proportions: Tensor
    identities: list[str]
    attributes: list[dict[str, str]]
    names: list[str]

    @classmethod
    def cat(cls, parts: Sequence[Looks]) -> Looks:
        """Concatenates parts along N."""
        return joined(parts)

    def sets(self, first: int = 0) -> dict[str, list[int]]:
        """Identity -> rows of `VIEWS` photos, starting with number `first`; people with too few photos are absent."""
        photos = defaultdict(list)
        for row in sorted(range(len(self.names)), key=self.names.__getitem__):
            photos[self.identities[row]].append(row)
        return {who: rows[first : first + VIEWS] for who, rows in sorted(photos.items()) if len(rows) > first}

    def shapes(self) -> dict[str, Tensor]:
        """Identity -> true proportions (K,), where known."""
        known = self.proportions.isfinite().all(1).tolist() if self.proportions.shape[1] else []
        return {self.identities[row]: self.proportions[row] for row, fact in enumerate(known) if fact}


def posterior(model: BodyVAE, looks: Looks, sets: Sequence[Sequence[int]]) -> Posterior:
    """q(c_body | each set of photos), on the CPU: (B, d)."""
    max_views = max(map(len, sets))
    rows = torch.tensor([[*rows, *[rows[0]] * (max_views - len(rows))] for rows in sets])  # (B, M)
    there = torch.tensor([[k < len(rows) for k in range(max_views)] for rows in sets])
    place = next(model.parameters()).device
    weight = looks.weight[rows] * there
    with torch.no_grad():
        found = model.merge(looks.features[rows].to(place), weight.to(place))
    return Posterior(found.mean.cpu(), found.logvar.cpu())


def single(model: BodyVAE, looks: Looks, generator: torch.Generator | None) -> Tensor:
    """c_body of each single photo, (N, d): a sample if a generator is given, else the mean."""
    found = posterior(model, looks, [[row] for row in range(len(looks.names))])
    return found.mean if generator is None else found.sample(generator)
