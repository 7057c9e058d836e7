"""An identity: the embeddings of a person for the conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from bolid.core.errors import BolidError

LARGEST = 1e3  # embeddings have about unit variance or unit norm


class Embedding(NamedTuple):
    """The embedding of a person by one network.

    Attributes:
        values: (E,) float.
        model: SHA-256 of the network, since embeddings of different networks are incompatible; empty if unknown.
    """

    values: Tensor
    model: str


class Identity(Mapping[str, Embedding]):
    """A person's embeddings by the names of their conditions, such as "body" and "face".

    Args:
        embeddings: Name -> embedding; unknown ones are absent.
    """

    def __init__(self, embeddings: Mapping[str, Embedding] | None = None) -> None:
        self._embeddings = dict(embeddings or {})

    def __getitem__(self, name: str) -> Embedding:
        return self._embeddings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._embeddings)

    def __len__(self) -> int:
        return len(self._embeddings)

    def __repr__(self) -> str:
        return f"Identity({', '.join(f'{name}: {len(found.values)} numbers' for name, found in self.items())})"

    def replace(self, **embeddings: Embedding) -> Identity:
        """A copy with the given embeddings replaced or added."""
        return Identity({**self, **embeddings})


def check_values(values: Tensor, what: str) -> None:
    """Refuses embeddings that are not finite, or so large that images would be black.

    Args:
        values: (E,).
        what: Description of the values, for the message.

    Raises:
        BolidError: If a value is out of range.
    """
    if not values.isfinite().all() or values.abs().max() > LARGEST:
        raise BolidError(f"{what} holds numbers that are not finite or beyond ±{LARGEST:g}: create it anew")


def mix(first: Identity, second: Identity, share: float = 0.5) -> Identity:
    """Interpolates two identities: (1 − share)·first + share·second, for the embeddings that both have.

    Args:
        first: Result at share 0.
        second: Result at share 1.
        share: Weight of the second; values outside of 0..1 extrapolate.

    Raises:
        BolidError: If they were embedded by different networks.
    """
    mixed = {}
    for name in (n for n in first if n in second):
        ours, theirs = first[name], second[name]
        if (ours.model and theirs.model and ours.model != theirs.model) or ours.values.shape != theirs.values.shape:
            raise BolidError(f"their {name} was embedded by different networks; create both with the same one")
        mixed[name] = Embedding(ours.values.lerp(theirs.values, share), ours.model or theirs.model)
    return Identity(mixed)
