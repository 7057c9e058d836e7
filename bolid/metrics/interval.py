"""How sure a mean is: bootstrap intervals over people, since pictures of one person are not independent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import NamedTuple

import numpy as np
from torch import Tensor

LEVEL = 0.95  # of confidence
RESAMPLES = 9999
TOGETHER = 1000  # resamples that are in memory at a time


class PersonScores(NamedTuple):
    """One number a picture, (N,), and whose picture it is, (N,) int64 (see `numbered`)."""

    scores: Tensor
    people: Tensor


class Interval(NamedTuple):
    """A mean over pictures, or the difference of two, and its bounds."""

    value: float
    low: float
    high: float


def interval(own: PersonScores, other: PersonScores | None = None) -> Interval:
    """The mean over the pictures, or two means' difference, with the bounds had other people been drawn.

    People are resampled with all their pictures (percentile bootstrap); of a difference, in both terms at once.

    Args:
        own: The scores.
        other: Subtrahend, if a difference is asked for; then only people who are in both count.

    Returns:
        Not numbers: the bounds below two people, and the value without any.
    """
    from scipy.stats import bootstrap

    parts = [own] if other is None else [own, other]
    people = reduce(np.intersect1d, [np.unique(part.people.cpu().numpy()) for part in parts])
    data = [column for part in parts for column in _by_person(part, people)]
    value = float(_difference(*data, axis=-1)) if len(people) else np.nan
    if len(people) < 2:
        return Interval(value, np.nan, np.nan)
    bounds = bootstrap(
        data, _difference, paired=True, n_resamples=RESAMPLES, batch=TOGETHER, confidence_level=LEVEL,
        method="percentile", rng=0,
    ).confidence_interval  # fmt: skip
    return Interval(value, float(bounds.low), float(bounds.high))


def intervals(
    columns: Mapping[str, Mapping[str, PersonScores]], differences: Iterable[tuple[str, str]]
) -> dict[str, float]:
    """What a report says of scores by column.

    Args:
        columns: Column -> metric -> its scores.
        differences: Pairs of columns, minuend and subtrahend.

    Returns:
        `<metric>/<column>/low` and `/high`; `<metric>/<minuend>-<subtrahend>`, with `/low` and `/high` of its own.
    """
    found: dict[str, float] = {}
    for column, metrics in columns.items():
        for metric, scores in metrics.items():
            found |= _bounds(f"{metric}/{column}", interval(scores))
    for minuend, subtrahend in differences:
        for metric, scores in columns[minuend].items():
            name, difference = f"{metric}/{minuend}-{subtrahend}", interval(scores, columns[subtrahend][metric])
            found |= {name: difference.value} | _bounds(name, difference)
    return found


def _bounds(name: str, found: Interval) -> dict[str, float]:
    return {f"{name}/low": found.low, f"{name}/high": found.high}


def _by_person(part: PersonScores, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of scores and numbers of pictures of these people, both (P,)."""
    theirs = part.people.cpu().numpy()
    known = np.isin(theirs, people)
    rows, scores = np.searchsorted(people, theirs[known]), part.scores.double().cpu().numpy()[known]
    return np.bincount(rows, scores, len(people)), np.bincount(rows, minlength=len(people)).astype(float)


def _difference(*data: np.ndarray, axis: int) -> np.ndarray:
    """Sums and numbers of pictures, (..., P) each, to the mean over the pictures; of four, to the means' difference."""
    means = [total.sum(axis) / count.sum(axis) for total, count in zip(data[::2], data[1::2], strict=True)]
    return means[0] - means[1] if len(means) > 1 else means[0]
