"""What c_body tells: whose body it is, how it is shaped, and what it should not know."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.metrics.leaks import clothes_leak, pose_leak
from bolid.metrics.looks import VIEWS, Looks, posterior, single
from bolid.models.body_vae import BodyVAE
from bolid.synthetic.measures import Body
from bolid.synthetic.metrics.prior_probe import prior_scores
from bolid.synthetic.metrics.shape_probe import shape_scores

VARYING = 0.01  # variance over people from which a number counts as used (Burda et al. 2016)


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
    """How often sets of photos find their person: 0..1.

    `retrieval_top1_*` among all strangers, whom twins are not; `twin_top1*` among their own family; and
    `retrieval_top1_4view/twins` among all people.
    """
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

    def both_ways(allowed: Tensor | None) -> float:
        return (top1(ours, theirs, everybody, allowed) + top1(theirs, ours, everybody, allowed)) / 2

    strangers = ~kin | torch.eye(len(kin), dtype=torch.bool)
    report = {
        "retrieval_top1_4view": both_ways(strangers),
        "retrieval_top1_1view": top1(single, theirs, people, strangers[people]),
    }
    if len(set(family)) < len(family):
        report |= {
            "retrieval_top1_4view/twins": both_ways(None),
            "twin_top1": both_ways(kin),
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
