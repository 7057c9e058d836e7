"""What an encoder saw of people, photo by photo, and the codes of any set of their photos."""

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
    """What an encoder saw of people, photo by photo.

    Attributes:
        features: (N, width) of `BodyVAE.look`, and `weight` (N,).
        keypoints: (N, 17, 3) of the pose on the average body.
        text: (N, D) features of the captions.
        proportions: (N, K) true ones, see `ImageRecord`; not a number where unknown.
        identities: N identities.
        attributes: N times what the full caption asks for, attribute -> class.
        names: N file names, which order a person's photos.
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
        """Joins parts along N."""
        return joined(parts)

    def sets(self, first: int = 0) -> dict[str, list[int]]:
        """Identity -> `VIEWS` of their photos from the `first` on; people without a photo there are absent."""
        photos = defaultdict(list)
        for row in sorted(range(len(self.names)), key=self.names.__getitem__):
            photos[self.identities[row]].append(row)
        return {who: rows[first : first + VIEWS] for who, rows in sorted(photos.items()) if len(rows) > first}

    def shapes(self) -> dict[str, Tensor]:
        """Identity -> true proportions (K,), of those of whom they are known."""
        known = self.proportions.isfinite().all(1).tolist() if self.proportions.shape[1] else []
        return {self.identities[row]: self.proportions[row] for row, fact in enumerate(known) if fact}


def posterior(model: BodyVAE, looks: Looks, sets: Sequence[Sequence[int]]) -> Posterior:
    """q(c_body | each set of photos), on the CPU: (B, d)."""
    most = max(map(len, sets))
    rows = torch.tensor([[*rows, *[rows[0]] * (most - len(rows))] for rows in sets])  # (B, M)
    there = torch.tensor([[k < len(rows) for k in range(most)] for rows in sets])
    place = next(model.parameters()).device
    weight = looks.weight[rows] * there
    with torch.no_grad():
        found = model.merge(looks.features[rows].to(place), weight.to(place))
    return Posterior(found.mean.cpu(), found.logvar.cpu())


def single(model: BodyVAE, looks: Looks, generator: torch.Generator | None) -> Tensor:
    """c_body of each photo alone, (N, d): a sample if a generator is given, else the mean."""
    found = posterior(model, looks, [[row] for row in range(len(looks.names))])
    return found.mean if generator is None else found.sample(generator)
