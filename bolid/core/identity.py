"""A person, as conditions know them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from bolid.core.errors import BolidError


class Embedding(NamedTuple):
    """What one network reads of a person.

    Attributes:
        values: (E,) float.
        model: SHA-256 of the network; embeddings of two networks mean different things. Empty where it is not known.
    """

    values: Tensor
    model: str


class Identity(Mapping[str, Embedding]):
    """A person's embeddings by the names of the conditions that they are for, such as "body" and "face".

    Args:
        embeddings: Name -> embedding; what is not known of the person is left out.
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
        """The same person with these embeddings in place of those of the same names."""
        return Identity({**self, **embeddings})


def mix(first: Identity, second: Identity, share: float = 0.5) -> Identity:
    """A person between two: (1 − share)·first + share·second, in all that is known of both.

    Args:
        first: What comes out at 0.
        second: What comes out at 1.
        share: Outside of 0..1 it exaggerates what one differs in from the other.

    Raises:
        BolidError: If they were read by different networks.
    """
    mixed = {}
    for name in (n for n in first if n in second):
        ours, theirs = first[name], second[name]
        if (ours.model and theirs.model and ours.model != theirs.model) or ours.values.shape != theirs.values.shape:
            raise BolidError(f"their {name} was read by different networks; create both identities with the same one")
        mixed[name] = Embedding(ours.values.lerp(theirs.values, share), ours.model or theirs.model)
    return Identity(mixed)
