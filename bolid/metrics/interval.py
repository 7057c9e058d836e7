"""Bootstrap confidence intervals over people, since images of one person are not independent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LEVEL = 0.95  # confidence level
ERRORS = 1.96  # standard errors at that level for a normal distribution
RESAMPLES = 9999
TOGETHER = 1000  # resamples in memory at a time


class PersonScores(NamedTuple):
    """One score per image (or per person), and its person; a metric is their mean, or its root.

    Attributes:
        scores: (N,).
        people: (N,) int64, equal for equal people (see `numbered`).
        root: Whether the metric is the root of the mean, where scores are squared errors.
    """

    scores: Tensor
    people: Tensor
    root: bool = False


class Interval(NamedTuple):
    """A mean over images, or a function of several means, and its bounds."""

    value: float
    low: float
    high: float


def interval(own: PersonScores, other: PersonScores | None = None) -> Interval:
    """The mean over images, or the difference of two means, with confidence bounds over people.

    People are resampled with all their images (percentile bootstrap), jointly in both terms of a difference.

    Args:
        own: Scores.
        other: Subtrahend of a difference, over the people in both; None for a plain mean.

    Returns:
        The interval; bounds are NaN below two people, and the value without any.
    """
    return _bootstrapped([own], lambda mean: mean) if other is None else _bootstrapped([own, other], np.subtract)


def gap_closed(text: PersonScores, own: PersonScores, floor: PersonScores) -> Interval | None:
    """How far an error fell from `text` (0) towards `floor`, the reconstruction (1), over the people in all three.

    Returns:
        (text − own) / (text − floor); None without a gap between text and floor, or without people in all three.
    """
    found = _bootstrapped([text, own, floor], _share)
    return None if np.isnan(found.value) else found


def _bootstrapped(parts: Sequence[PersonScores], combine: Callable[..., np.ndarray]) -> Interval:
    """`combine` of the parts' means, with bounds; see `interval`."""
    from scipy.stats import bootstrap

    def statistic(*data: np.ndarray, axis: int) -> np.ndarray:
        """Sums and numbers of images, (..., P) each, to the statistic: (...)."""
        means = [total.sum(axis) / count.sum(axis) for total, count in zip(data[::2], data[1::2], strict=True)]
        return combine(*(np.sqrt(mean) if part.root else mean for mean, part in zip(means, parts, strict=True)))

    people = reduce(np.intersect1d, [np.unique(part.people.cpu().numpy()) for part in parts])
    data = [column for part in parts for column in _by_person(part, people)]
    value = float(statistic(*data, axis=-1)) if len(people) else np.nan
    if len(people) < 2 or np.isnan(value):
        return Interval(value, np.nan, np.nan)
    bounds = bootstrap(
        data, statistic, paired=True, n_resamples=RESAMPLES, batch=TOGETHER, confidence_level=LEVEL,
        method="percentile", rng=0,
    ).confidence_interval  # fmt: skip
    return Interval(value, float(bounds.low), float(bounds.high))


def resampled(people: Tensor, statistic: Callable[[Tensor], Tensor], resamples: int) -> Interval:
    """Interval of a statistic that is no mean of images, such as FID: the value ± 1.96 standard errors.

    The errors are those of bootstrap resamples of people. Their percentiles would be biased upwards: a resample holds
    fewer different people, and smaller sets are further apart.

    Args:
        people: (N,) int64, equal for equal people (see `numbered`).
        statistic: Function from the multiplicity of each image, (N,) float64, to a scalar.
        resamples: Number of resamples, at least 2.

    Returns:
        The interval; bounds are NaN below two people.
    """
    _, rows = people.unique(return_inverse=True)
    count = len(people.unique())
    value = float(statistic(torch.ones(len(rows), dtype=torch.float64, device=rows.device)))
    if count < 2:
        return Interval(value, np.nan, np.nan)
    times = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), resamples)
    found = [float(statistic(torch.from_numpy(t).to(rows.device)[rows].double())) for t in times]
    away = ERRORS * float(np.std(found, ddof=1))
    return Interval(value, value - away, value + away)


def intervals(
    columns: Mapping[str, Mapping[str, PersonScores]], differences: Iterable[tuple[str, str]]
) -> dict[str, float]:
    """Confidence bounds of scores by method, for a report.

    Args:
        columns: Method -> metric -> scores.
        differences: Pairs of methods, minuend and subtrahend.

    Returns:
        `<metric>/<method>/low` and `/high`; `<metric>/<minuend>-<subtrahend>`, with its own `/low` and `/high`.
    """
    found: dict[str, float] = {}
    for column, metrics in columns.items():
        for metric, scores in metrics.items():
            found |= bounds(f"{metric}/{column}", interval(scores))
    for minuend, subtrahend in differences:
        for metric, scores in columns[minuend].items():
            name, difference = f"{metric}/{minuend}-{subtrahend}", interval(scores, columns[subtrahend][metric])
            found |= with_bounds(name, difference)
    return found


def with_bounds(name: str, found: Interval) -> dict[str, float]:
    """The value under `name`, and the bounds under `<name>/low` and `/high`."""
    return {name: found.value} | bounds(name, found)


def bounds(name: str, found: Interval) -> dict[str, float]:
    """Only the bounds; see `with_bounds`."""
    return {f"{name}/low": found.low, f"{name}/high": found.high}


def _by_person(part: PersonScores, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of scores and numbers of images of these people, both (P,)."""
    theirs = part.people.cpu().numpy()
    known = np.isin(theirs, people)
    rows, scores = np.searchsorted(people, theirs[known]), part.scores.double().cpu().numpy()[known]
    return np.bincount(rows, scores, len(people)), np.bincount(rows, minlength=len(people)).astype(float)


def _share(text: np.ndarray, own: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Share of the gap that is closed; NaN without a gap."""
    gap = text - floor
    return (text - own) / np.where(gap == 0, np.nan, gap)
