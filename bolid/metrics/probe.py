"""Probes of a body encoder: what its codes hold of people it was not trained on, and what they should not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch

from bolid.core.errors import BolidError
from bolid.metrics.base import Description
from bolid.metrics.looks import Looks, posterior, single
from bolid.models.body_vae import BodyVAE

FEWEST = 5  # photos, or people, that a probe is fitted on and that it reads, at least
PENALTIES = np.logspace(-2, 5, 15)  # of ridge regressions, which take the best


@dataclass
class Seen:
    """What an encoder saw in a test.

    Attributes:
        model: The encoder.
        test: People it was not trained on.
        train: People of the training, on whom probes are fitted; None where none were shown.
        families: Test identity -> family, of people who share head, skin and hair; others are a family of their own.
        seed: Of everything random.
    """

    model: BodyVAE
    test: Looks
    train: Looks | None = None
    families: Mapping[str, Hashable] = field(default_factory=dict)
    seed: int = 0

    def generator(self) -> torch.Generator:
        """The same randomness for each probe."""
        return torch.Generator().manual_seed(self.seed)

    def codes(self, sample: bool) -> tuple[np.ndarray, np.ndarray]:
        """c_body of each photo alone, of training and test people: (N, d) each; samples, or posterior means."""
        assert self.train is not None  # `measure` asks no probe that is fitted without
        generator = self.generator() if sample else None
        ours, theirs = (single(self.model, looks, generator).numpy() for looks in (self.train, self.test))
        return ours, theirs


@dataclass
class Measured:
    """Numbers by name, and sentences on what they leave out."""

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Probe(ABC):
    """One question to an encoder's codes.

    Attributes:
        describes: First part of a number's name, up to the slash -> what a report says of it.
        fitted: Whether it is fitted on people of the training.
    """

    describes: Mapping[str, Description] = MappingProxyType({})
    fitted = True

    @abstractmethod
    def __call__(self, seen: Seen) -> Measured:
        """Its numbers; what cannot be computed is left out, with a note that says why."""

    def left_out(self, reason: str) -> Measured:
        """No number, and the reason."""
        return Measured(notes=[f"{', '.join(f'`{name}`' for name in self.describes)} left out: {reason}."])


def measure(probes: Iterable[Probe], seen: Seen) -> Measured:
    """The numbers of all probes.

    Raises:
        BolidError: If the encoder's codes are no numbers.
    """
    if not posterior(seen.model, seen.test, list(seen.test.sets().values())).mean.isfinite().all():
        raise BolidError("the body encoder gives codes that are not finite: its weights are damaged or diverged")
    found = Measured()
    for probe in probes:
        part = probe(seen) if seen.train is not None or not probe.fitted else probe.left_out(
            "it is fitted on people of the training, and the data show none: set data.test.probe to true"
        )  # fmt: skip
        lost = [name for name, value in part.values.items() if not np.isfinite(value)]
        found.values |= {name: value for name, value in part.values.items() if name not in lost}
        found.notes += part.notes + [f"`{name}` left out: it is not a number on these photos." for name in lost]
    return found
