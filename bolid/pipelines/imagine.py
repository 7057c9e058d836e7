"""Samples identities for prompts: bodies from the text prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite

import torch

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.identity import Embedding, Identity
from bolid.models.backbones import Backbone
from bolid.models.body_prior import load_body_prior


@torch.no_grad()
def imagine(
    backbone: Backbone,
    conditions: Mapping[str, Condition],
    prompts: Sequence[str],
    prior: str,
    seeds: Sequence[int],
    temperature: float,
) -> list[Identity]:
    """Samples of c_body for N prompts and seeds; see `BoLIDPipeline.imagine`."""
    check_temperature(temperature)
    name = next((name for name, c in conditions.items() if c.kind == "body"), None)
    if name is None:
        raise BolidError("this adapter has no body condition, so an imagined body would not show")
    model = conditions[name].fingerprint
    found = load_body_prior(prior, model, backbone.text_model)
    captions = zip(backbone.text_features(list(prompts)).float().cpu(), seeds, strict=True)
    chance = torch.Generator()
    codes = [found.sample(features[None], chance.manual_seed(seed), temperature)[0] for features, seed in captions]
    return [Identity({name: Embedding(code, model)}) for code in codes]


def check_temperature(temperature: float) -> None:
    """Refuses an invalid temperature.

    Raises:
        BolidError: If it is negative or not finite.
    """
    if not isfinite(temperature) or temperature < 0:
        raise BolidError(f"temperature={temperature} must be 0 or more")
