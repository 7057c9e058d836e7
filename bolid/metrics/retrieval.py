"""Retrieval of a person's photos by c_body of other photos."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.metrics.base import Description
from bolid.metrics.looks import VIEWS, posterior
from bolid.metrics.probe import Measured, Probe, Seen


class Retrieval(Probe):
    """Top-1 accuracy of retrieving a person by sets of photos, for people with more than `VIEWS` photos: 0..1.

    The gallery of `retrieval_top1_*` is everyone outside the person's family, that of `twin_top1*` the family (hard
    negatives with the same head), and that of `retrieval_top1_4view/twins` all people.
    """

    describes = {
        "retrieval_top1_4view": Description("sets of 4 photos that find their person's other photos, 0 to 1", "higher"),
        "retrieval_top1_1view": Description("the same of single photos", "higher"),
    }
    twins = {
        "twin_top1": Description("the same among people of one head, who differ in the body alone", "higher"),
        "twin_top1_1view": Description("the same of single photos", "higher"),
    }
    fitted = False

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`; without families there is no `twin_top1`."""
        model, looks = seen.model, seen.test
        second = looks.sets(VIEWS)
        first = {person: rows for person, rows in looks.sets().items() if person in second}
        if len(first) < 2:
            return self.left_out(f"{len(first)} of the people tested have more than {VIEWS} photos, and it takes two")
        centre = model.mean_code.cpu()
        ours, theirs = (posterior(model, looks, list(part.values())).mean - centre for part in (first, second))
        photos = [(number, row) for number, rows in enumerate(first.values()) for row in rows]
        alone = posterior(model, looks, [[row] for _, row in photos]).mean - centre
        people = torch.tensor([number for number, _ in photos])
        everyone = torch.arange(len(first))
        family = [seen.families.get(person, person) for person in first]
        kin = torch.tensor([[a == b for b in family] for a in family])

        def both_ways(allowed: Tensor | None) -> float:
            return (top1(ours, theirs, everyone, allowed) + top1(theirs, ours, everyone, allowed)) / 2

        strangers = ~kin | torch.eye(len(kin), dtype=torch.bool)
        found = {
            "retrieval_top1_4view": both_ways(strangers),
            "retrieval_top1_1view": top1(alone, theirs, people, strangers[people]),
        }
        if len(set(family)) < len(family):
            found |= {
                "retrieval_top1_4view/twins": both_ways(None),
                "twin_top1": both_ways(kin),
                "twin_top1_1view": top1(alone, theirs, people, kin[people]),
            }
        return Measured(found)


def top1(queries: Tensor, gallery: Tensor, truth: Tensor, allowed: Tensor | None = None) -> float:
    """Share of queries (Q, d) whose most similar gallery code (P, d) by cosine is the true one, `truth` (Q,).

    Args:
        queries: Query codes.
        gallery: Gallery codes.
        truth: True rows of the gallery.
        allowed: (Q, P) bool, the candidates of each query; None for all.
    """
    cosine = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T
    if allowed is not None:
        cosine = cosine.masked_fill(~allowed, -torch.inf)
    return (cosine.argmax(1) == truth).float().mean().item()
