"""Probes of a body encoder: what its codes encode about unseen people, and what they should not."""

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

FEWEST = 5  # minimum number of photos, or people, for fitting and for testing a probe
PENALTIES = np.logspace(-2, 5, 15)  # of ridge regressions, selected by cross-validation


@dataclass
class Seen:
    """View features of a test's people.

    Attributes:
        model: The encoder.
        test: Features of test people, unseen in training.
        train: Features of training people, to fit probes on; None if the data hold none.
        families: Test identity -> family of people who share head, skin and hair; others are their own family.
        seed: Seed of everything random.
    """

    model: BodyVAE
    test: Looks
    train: Looks | None = None
    families: Mapping[str, Hashable] = field(default_factory=dict)
    seed: int = 0

    def generator(self) -> torch.Generator:
        """A generator with the same seed for each probe."""
        return torch.Generator().manual_seed(self.seed)

    def codes(self, sample: bool) -> tuple[np.ndarray, np.ndarray]:
        """c_body of each single photo of training and test people: (N, d) each; samples, or posterior means."""
        assert self.train is not None  # `measure` skips fitted probes without training people
        generator = self.generator() if sample else None
        ours, theirs = (single(self.model, looks, generator).numpy() for looks in (self.train, self.test))
        return ours, theirs


@dataclass
class Measured:
    """Metrics by name, and notes on what they leave out."""

    values: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Probe(ABC):
    """A probe of an encoder's codes.

    Attributes:
        describes: Metric name up to the slash -> its description.
        fitted: Whether it is fitted on training people.
    """

    describes: Mapping[str, Description] = MappingProxyType({})
    fitted = True

    @abstractmethod
    def __call__(self, seen: Seen) -> Measured:
        """Computes the metrics; those that cannot be computed are left out, with a note that says why."""

    def left_out(self, reason: str) -> Measured:
        """No metrics, and a note with the reason."""
        return Measured(notes=[f"{', '.join(f'`{name}`' for name in self.describes)} left out: {reason}."])


def measure(probes: Iterable[Probe], seen: Seen) -> Measured:
    """The metrics of all probes.

    Raises:
        BolidError: If the encoder's codes are not finite.
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
