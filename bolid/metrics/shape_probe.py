"""Probe for body shape in c_body: how well true proportions are predictable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from bolid.metrics.base import Description
from bolid.metrics.looks import VIEWS, Looks, posterior
from bolid.metrics.probe import FEWEST, PENALTIES, Measured, Probe, Seen
from bolid.models.body_vae import BodyVAE


class ShapeProbe(Probe):
    """R² of a linear probe of people's proportions on c_body of `VIEWS` photos, where proportions are known."""

    names: Sequence[str] = ()  # names of the proportions; empty for their indices
    scored: Sequence[str] = ()  # those in the mean `shape_r2`; empty for all
    describes = {
        "shape_r2": Description(
            f"variance of true proportions that a linear probe explains by c_body of {VIEWS} photos, up to 1",
            "higher",
        )
    }

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`."""
        if reason := unfit(seen):
            return self.left_out(reason)
        assert seen.train is not None
        codes, truth = codes_and_shapes(seen.model, seen.test, (0, VIEWS))
        return Measured(self.scores(truth, shape_probe(seen.model, seen.train).predict(codes)))

    def scores(self, truth: np.ndarray, read: np.ndarray) -> dict[str, float]:
        """`shape_r2/<proportion>` of predictions (P, K) of the truth (P, K), and `shape_r2`, the mean over `scored`."""
        names = self.names or [str(number) for number in range(truth.shape[1])]
        found = dict(zip(names, r2_score(truth, read, multioutput="raw_values"), strict=True))
        return {f"shape_r2/{name}": float(value) for name, value in found.items()} | {
            "shape_r2": float(np.mean([found[name] for name in self.scored or names]))
        }


def unfit(seen: Seen) -> str:
    """The reason why no probe can be fitted; empty if one can."""
    if seen.train is None:
        return "no training people are shown"
    sizes = [looks.proportions.shape[1] for looks in (seen.train, seen.test)]
    known = [len(looks.shapes()) for looks in (seen.train, seen.test)]
    if min(known) < FEWEST:
        return (
            f"true proportions are known of {known[0]} training people and {known[1]} test people, and it takes "
            f"{FEWEST} of each"
        )
    return "training and test people have different proportions" if sizes[0] != sizes[1] else ""


def codes_and_shapes(model: BodyVAE, looks: Looks, starts: Sequence[int] = (0,)) -> tuple[np.ndarray, np.ndarray]:
    """c_body (P, d) of sets of photos that begin at `starts`, and true proportions (P, K), where known."""
    shapes = looks.shapes()
    pairs = [(person, rows) for start in starts for person, rows in looks.sets(start).items() if person in shapes]
    codes = posterior(model, looks, [rows for _, rows in pairs]).mean.numpy()
    return codes, np.stack([shapes[person].numpy() for person, _ in pairs])


def shape_probe(model: BodyVAE, looks: Looks) -> RidgeCV:
    """Fits a ridge regression from codes (P, d) to proportions (P, K)."""
    return RidgeCV(PENALTIES).fit(*codes_and_shapes(model, looks))
