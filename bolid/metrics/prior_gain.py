"""Information of captions on bodies, by a text prior over c_body."""

from __future__ import annotations

import torch
from torch import Tensor

from bolid.metrics.base import Description
from bolid.metrics.looks import Looks, posterior
from bolid.metrics.probe import FEWEST, Measured, Probe, Seen
from bolid.models.body_prior import BodyPrior, fit_body_prior
from bolid.models.body_vae import BodyVAE


class PriorGain(Probe):
    """Log-likelihood of test people's codes under a text prior minus that under a Gaussian without captions.

    `prior_gain_nats/shuffled` is the gain over the same prior with shuffled captions.
    """

    describes = {
        "prior_gain_nats": Description(
            "what captions say of the body, over no caption, and over `shuffled` ones; 0: nothing", "higher", "nats"
        )
    }

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`."""
        assert seen.train is not None
        if reason := unfit(seen.train, len(seen.model.mean_code)):
            return self.left_out(reason)
        ours, theirs = (caption_codes(seen.model, looks) for looks in (seen.train, seen.test))
        text, nothing = seen.test.text, torch.zeros(len(theirs), 1)
        prior = train_prior(seen)
        blind = fit_body_prior(ours, torch.zeros(len(ours), 1), seen.train.identities)
        likely = prior.log_prob(theirs, text).mean()
        others = text[torch.randperm(len(theirs), generator=seen.generator())]
        return Measured(
            {
                "prior_gain_nats": (likely - blind.log_prob(theirs, nothing).mean()).item(),
                "prior_gain_nats/shuffled": (likely - prior.log_prob(theirs, others).mean()).item(),
            }
        )


def unfit(train: Looks, latent_dim: int) -> str:
    """The reason why no prior can be fitted; empty if one can."""
    photos, people = len(train.names), len(set(train.identities))
    if photos > 2 * latent_dim and people >= FEWEST:
        return ""
    return (
        f"a prior over {latent_dim} numbers takes more than {2 * latent_dim} training photos of at least {FEWEST} "
        f"people, and there are {photos} of {people}"
    )


def train_prior(seen: Seen) -> BodyPrior:
    """The prior fitted to the captions of training people."""
    assert seen.train is not None
    return fit_body_prior(caption_codes(seen.model, seen.train), seen.train.text, seen.train.identities)


def caption_codes(model: BodyVAE, looks: Looks) -> Tensor:
    """c_body of `VIEWS` photos of the person for each photo's caption, (N, d)."""
    sets = looks.sets()
    place = {who: number for number, who in enumerate(sets)}
    found = posterior(model, looks, list(sets.values()))
    return found.mean[torch.tensor([place[who] for who in looks.identities])]
