"""The oracle's condition: the true proportions of the person, whatever the references show."""

import pytest
import torch
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.research.true_body import TrueBodyCondition
from tests import miniature


@pytest.fixture
def batch():
    """Four people whose proportions are known."""
    made = miniature.batch()
    made.references.proportions = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    return made


def test_it_embeds_the_true_deviations_whatever_the_references(batch):
    condition, truth = TrueBodyCondition(), F.pad(batch.references.proportions, (0, 1), value=1.0)
    assert torch.equal(condition.embed(batch.references), truth)
    batch.references.pictures.zero_()
    assert torch.equal(condition.embed(batch.references, torch.Generator()), truth)


def test_its_tokens_are_as_many_as_the_body_conditions_and_zero_without_a_person(batch):
    condition = TrueBodyCondition()
    projector = condition.projector(24)
    assert projector(condition.embed(batch.references)).shape == (4, 16, 24)
    assert not projector(torch.zeros(1, condition.embed_dim)).any()


def test_the_size_of_a_deviation_counts_as_its_direction_does(batch):
    torch.manual_seed(0)
    embeds, tokens = TrueBodyCondition().embed(batch.references), TrueBodyCondition().projector(24)
    less = torch.cat([embeds[:, :-1] / 4, embeds[:, -1:]], 1)
    similarity = F.cosine_similarity(tokens(embeds).flatten(1), tokens(less).flatten(1)).mean()
    # without the 1, it would be nearly the same direction
    embeds[:, -1] = less[:, -1] = 0
    assert similarity < 0.85
    assert F.cosine_similarity(tokens(embeds).flatten(1), tokens(less).flatten(1)).mean() > 0.9


def test_unknown_proportions_are_refused(batch):
    batch.references.proportions[2, 1] = torch.nan
    with pytest.raises(BolidError, match="true proportions"):
        TrueBodyCondition().embed(batch.references)
    batch.references.proportions = torch.zeros(4, 0)
    with pytest.raises(BolidError, match="true proportions"):
        TrueBodyCondition().embed(batch.references)
