"""What c_body tells: whose body it is, how it is shaped, and what it should not know, by linear probes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from bolid.core.measures import RATIOS, SHAPE, Body, standardise
from bolid.core.wording import attributes, build_level
from bolid.models.body_prior import fit_body_prior
from bolid.models.body_vae import BodyVAE, Posterior

VIEWS = 4  # photos of a person in one set
LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))  # arms and legs, COCO's numbers
PENALTIES = np.logspace(-2, 5, 15)
VARYING = 0.01  # variance over people from which a number counts as used (Burda et al. 2016)


@dataclass
class Looks:
    """What an encoder saw of people, photo by photo.

    Attributes:
        features: (N, width) of `BodyVAE.look`, and `weight` (N,).
        keypoints: (N, 17, 3) of the pose on the average body.
        text: (N, D) features of the captions.
        identities: N identities; `captions` N full captions; `names` N file names, which order a person's photos.
    """

    features: Tensor
    weight: Tensor
    keypoints: Tensor
    text: Tensor
    identities: list[str]
    captions: list[str]
    names: list[str]

    @classmethod
    def cat(cls, parts: Sequence[Looks]) -> Looks:
        """Joins parts along N."""
        joined: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(p, field.name) for p in parts]
            joined[field.name] = (
                torch.cat(values) if isinstance(values[0], Tensor) else list(chain.from_iterable(values))
            )
        return cls(**joined)

    def sets(self, first: int = 0) -> dict[str, list[int]]:
        """Identity -> `VIEWS` of their photos from the `first` on; people without a photo there are absent."""
        photos = defaultdict(list)
        for row in sorted(range(len(self.names)), key=self.names.__getitem__):
            photos[self.identities[row]].append(row)
        return {who: rows[first : first + VIEWS] for who, rows in sorted(photos.items()) if len(rows) > first}


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


def body_report(
    model: BodyVAE,
    train: Looks,
    test: Looks,
    bodies: Mapping[str, Body] | None = None,
    families: Mapping[str, Hashable] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Every number about an encoder; probes are fitted on `train` and read `test`, who are other people.

    Args:
        model: The encoder that saw them.
        train: People it was trained on.
        test: People it was not trained on, of whom only those with more than `VIEWS` photos count for retrieval.
        bodies: True proportions by identity; without them there is no `shape_r2`.
        families: Of test people who share head, skin and hair; without them there is no `twin_top1`.
        seed: Of the samples that leaks are looked for in.
    """
    generator = torch.Generator().manual_seed(seed)
    report = retrieval_scores(model, test, families or {}) | usage(model, test)
    if bodies is not None:
        report |= shape_scores(model, train, test, bodies)
    if len(train.names) > 2 * len(model.mean_code):
        report |= prior_scores(model, train, test, bodies, generator)
    for name, draw in (("", True), ("/mean", False)):
        ours, theirs = (single(model, looks, generator if draw else None).numpy() for looks in (train, test))
        report[f"clothes_leak{name}"] = clothes_leak(ours, train.captions, theirs, test.captions)
        report[f"pose_leak{name}"] = pose_leak(ours, train.keypoints, theirs, test.keypoints)
    return report


def retrieval_scores(model: BodyVAE, looks: Looks, families: Mapping[str, Hashable]) -> dict[str, float]:
    """`retrieval_top1_*` among all people, `twin_top1*` among each family: 0..1."""
    second = looks.sets(VIEWS)
    first = {who: rows for who, rows in looks.sets().items() if who in second}
    if len(first) < 2:
        return {}
    centre = model.mean_code.cpu()
    ours, theirs = (posterior(model, looks, list(part.values())).mean - centre for part in (first, second))
    photos = [(number, row) for number, rows in enumerate(first.values()) for row in rows]
    single = posterior(model, looks, [[row] for _, row in photos]).mean - centre
    people = torch.tensor([number for number, _ in photos])
    everybody = torch.arange(len(first))
    family = [families.get(who, who) for who in first]
    kin = torch.tensor([[a == b for b in family] for a in family])
    report = {
        "retrieval_top1_4view": (top1(ours, theirs, everybody) + top1(theirs, ours, everybody)) / 2,
        "retrieval_top1_1view": top1(single, theirs, people),
    }
    if len(set(family)) < len(family):
        report |= {
            "twin_top1": (top1(ours, theirs, everybody, kin) + top1(theirs, ours, everybody, kin)) / 2,
            "twin_top1_1view": top1(single, theirs, people, kin[people]),
        }
    return report


def top1(queries: Tensor, gallery: Tensor, truth: Tensor, allowed: Tensor | None = None) -> float:
    """How often the gallery's code (P, d) with the highest cosine to a query (Q, d) is its true one, `truth` (Q,).

    Args:
        allowed: (Q, P) bool, among whom each query is to be found; None for all.
    """
    cosine = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T
    if allowed is not None:
        cosine = cosine.masked_fill(~allowed, -torch.inf)
    return (cosine.argmax(1) == truth).float().mean().item()


def usage(model: BodyVAE, looks: Looks) -> dict[str, float]:
    """`kl_nats` of the posterior of `VIEWS` photos, and in how many dimensions its mean varies over people."""
    found = posterior(model, looks, list(looks.sets().values()))
    return {
        "kl_nats": found.kl().mean().item(),
        "varying_dims": float((found.mean.var(0) > VARYING).sum()) if len(found.mean) > 1 else 0.0,
    }


def shape_scores(model: BodyVAE, train: Looks, test: Looks, bodies: Mapping[str, Body]) -> dict[str, float]:
    """`shape_r2/<ratio>` of a linear probe from c_body of `VIEWS` photos, and `shape_r2`, the mean over `SHAPE`."""
    codes, truth = codes_and_shapes(model, test, bodies, (0, VIEWS))
    read = shape_probe(model, train, bodies).predict(codes)
    scores = dict(zip(RATIOS, r2(truth, read), strict=True))
    return {f"shape_r2/{name}": float(v) for name, v in scores.items()} | {
        "shape_r2": float(np.mean([scores[name] for name in SHAPE]))
    }


def codes_and_shapes(
    model: BodyVAE, looks: Looks, bodies: Mapping[str, Body], starts: Sequence[int] = (0,)
) -> tuple[np.ndarray, np.ndarray]:
    """c_body (P, d) of people's sets of photos from the `starts` on, and the true proportions (P, 7)."""
    people, sets = zip(*(pair for start in starts for pair in looks.sets(start).items()), strict=True)
    return posterior(model, looks, sets).mean.numpy(), standardise([bodies[who] for who in people]).numpy()


def shape_probe(model: BodyVAE, train: Looks, bodies: Mapping[str, Body]) -> RidgeCV:
    """Reads the proportions (P, 7), in within-gender standard deviations, off codes (P, d)."""
    return RidgeCV(PENALTIES).fit(*codes_and_shapes(model, train, bodies))


def prior_scores(
    model: BodyVAE, train: Looks, test: Looks, bodies: Mapping[str, Body] | None, generator: torch.Generator
) -> dict[str, float]:
    """What captions tell of bodies, by a text prior fitted on `train`.

    Returns:
        `prior_gain_nats`: how much likelier the prior finds test people's codes than a Gaussian that reads no caption;
        `prior_gain_nats/shuffled`: than it does with others' captions; with bodies `prior_build_corr`: the rank
        correlation of captions' words for the build with what the shape probe reads off the prior's samples.
    """
    ours, theirs = (caption_codes(model, looks, generator) for looks in (train, test))
    prior, blind = fit_body_prior(ours, train.text), fit_body_prior(ours, torch.zeros(len(ours), 1))
    told = prior.log_prob(theirs, test.text).mean()
    others = test.text[torch.randperm(len(theirs), generator=generator)]
    report = {
        "prior_gain_nats": (told - blind.log_prob(theirs, torch.zeros(len(theirs), 1)).mean()).item(),
        "prior_gain_nats/shuffled": (told - prior.log_prob(theirs, others).mean()).item(),
    }
    levels = [build_level(caption) for caption in test.captions]
    said = [row for row, level in enumerate(levels) if level is not None]
    if bodies is not None and said:
        drawn = prior.sample(test.text[said], generator).numpy()
        build = shape_probe(model, train, bodies).predict(drawn)[:, RATIOS.index("build")]
        if np.ptp(build) > 1e-6:
            report["prior_build_corr"] = float(spearmanr([levels[row] for row in said], build).statistic)
    return report


def caption_codes(model: BodyVAE, looks: Looks, generator: torch.Generator) -> Tensor:
    """For each photo's caption a sample of c_body of `VIEWS` photos of its person, (N, d)."""
    sets = looks.sets()
    place = {who: number for number, who in enumerate(sets)}
    found = posterior(model, looks, list(sets.values()))
    rows = torch.tensor([place[who] for who in looks.identities])
    return Posterior(found.mean[rows], found.logvar[rows]).sample(generator)


def single(model: BodyVAE, looks: Looks, generator: torch.Generator | None) -> Tensor:
    """c_body of each photo alone, (N, d): a sample if a generator is given, else the mean."""
    found = posterior(model, looks, [[row] for row in range(len(looks.names))])
    return found.mean if generator is None else found.sample(generator)


def clothes_leak(train: np.ndarray, train_captions: list[str], test: np.ndarray, test_captions: list[str]) -> float:
    """How much better than by guessing the commonest a linear probe reads the shirt's colour off codes (N, d)."""
    (ours, said), (theirs, truth) = (
        with_colour(codes, captions) for codes, captions in ((train, train_captions), (test, test_captions))
    )
    if len(set(said)) < 2 or not len(truth):
        return float("nan")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(ours, said)
    names, counts = np.unique(said, return_counts=True)
    chance = (truth == names[counts.argmax()]).mean()
    return float((probe.predict(theirs) == truth).mean() - chance)


def with_colour(codes: np.ndarray, captions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The codes (n, d) of captions that tell the shirt's colour, and the colours (n,)."""
    colours = [attributes(caption).get("shirt") for caption in captions]
    told = [row for row, colour in enumerate(colours) if colour]
    return codes[told], np.array([colours[row] for row in told])


def pose_leak(train: np.ndarray, train_pose: Tensor, test: np.ndarray, test_pose: Tensor) -> float:
    """Mean over limbs of R², at least 0, with which a linear probe reads their directions off codes (N, d)."""
    scores = []
    for limb in LIMBS:
        (ours, seen), (theirs, truly) = directions(train_pose, limb), directions(test_pose, limb)
        probe = RidgeCV(PENALTIES).fit(train[seen], ours)
        scores.append(max(0.0, float(r2(theirs.ravel(), probe.predict(test[truly]).ravel()))))
    return float(np.mean(scores))


def directions(keypoints: Tensor, limb: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine (n, 2) of a limb's angle in the picture where both its ends are seen, and where that is (N,)."""
    ends = keypoints[:, list(limb)].numpy()  # (N, 2, 3)
    seen: np.ndarray = np.all(ends[..., 2] > 0, axis=1)
    along = ends[seen, 1, :2] - ends[seen, 0, :2]
    return along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6), seen


def r2(truth: np.ndarray, read: np.ndarray) -> np.ndarray:
    """1 − squared error over variance, along the first axis."""
    return 1 - ((truth - read) ** 2).mean(0) / truth.var(0)
