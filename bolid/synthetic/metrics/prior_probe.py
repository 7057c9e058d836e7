"""What captions tell of bodies, by a text prior over c_body."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from bolid.metrics.looks import Looks, posterior
from bolid.models.body_prior import fit_body_prior
from bolid.models.body_vae import BodyVAE
from bolid.synthetic.measures import RATIOS, Body
from bolid.synthetic.metrics.shape_probe import shape_probe
from bolid.synthetic.wording import build_level


def prior_scores(
    model: BodyVAE, train: Looks, test: Looks, bodies: Mapping[str, Body] | None, generator: torch.Generator
) -> dict[str, float]:
    """What captions tell of bodies, by a text prior fitted on `train`.

    Returns:
        `prior_gain_nats`: how much likelier the prior finds test people's codes than a Gaussian that reads no caption;
        `prior_gain_nats/shuffled`: than it does with others' captions; with bodies `prior_build_corr`: the rank
        correlation of captions' words for the build with what the shape probe reads off the prior's samples.
    """
    ours, theirs = (caption_codes(model, looks) for looks in (train, test))
    prior, blind = (fit_body_prior(ours, text, train.identities) for text in (train.text, torch.zeros(len(ours), 1)))
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


def caption_codes(model: BodyVAE, looks: Looks) -> Tensor:
    """For each photo's caption c_body of `VIEWS` photos of its person, (N, d)."""
    sets = looks.sets()
    place = {who: number for number, who in enumerate(sets)}
    found = posterior(model, looks, list(sets.values()))
    return found.mean[torch.tensor([place[who] for who in looks.identities])]
