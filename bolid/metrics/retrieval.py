"""Retrieval: do two sets of photos of a person find each other by c_body?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.metrics.base import Description
from bolid.metrics.looks import VIEWS, posterior
from bolid.metrics.probe import Measured, Probe, Seen


class Retrieval(Probe):
    """How often sets of photos find their person, of those who have more than `VIEWS` photos: 0..1.

    `retrieval_top1_*` is among all who are not of the person's family, `twin_top1*` among the family, and
    `retrieval_top1_4view/twins` among all people.
    """

    describes = {
        "retrieval_top1_4view": Description("sets of 4 photos that find their person's other photos, 0 to 1", "higher"),
        "retrieval_top1_1view": Description("the same of single photos", "higher"),
    }
    twins = {
        "twin_top1": Description("the same among people of one head, whom the body alone tells apart", "higher"),
        "twin_top1_1view": Description("the same of single photos", "higher"),
    }
    fitted = False

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`; without families there is no `twin_top1`."""
        model, looks = seen.model, seen.test
        second = looks.sets(VIEWS)
        first = {who: rows for who, rows in looks.sets().items() if who in second}
        if len(first) < 2:
            return self.left_out(f"{len(first)} of the people tested have more than {VIEWS} photos, and it takes two")
        centre = model.mean_code.cpu()
        ours, theirs = (posterior(model, looks, list(part.values())).mean - centre for part in (first, second))
        photos = [(number, row) for number, rows in enumerate(first.values()) for row in rows]
        alone = posterior(model, looks, [[row] for _, row in photos]).mean - centre
        people = torch.tensor([number for number, _ in photos])
        everyone = torch.arange(len(first))
        family = [seen.families.get(who, who) for who in first]
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
    """How often the gallery's code (P, d) with the highest cosine to a query (Q, d) is its true one, `truth` (Q,).

    Args:
        queries: Codes to look for.
        gallery: Codes to find.
        truth: Rows of the gallery.
        allowed: (Q, P) bool, among whom each query is to be found; None for all.
    """
    cosine = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T
    if allowed is not None:
        cosine = cosine.masked_fill(~allowed, -torch.inf)
    return (cosine.argmax(1) == truth).float().mean().item()
