"""The oracle's branch: it is told who the target is, from a table that may be written after it was built."""

import pytest
import torch
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.research.true_body import TrueBodyCondition
from tests import miniature
from tests.data.fabricate import fabricate_bodies


@pytest.fixture
def people(tmp_path):
    """A folder of six people, of whom a batch shows four, and their deviations with a 1 (6, 8)."""
    return tmp_path, F.pad(fabricate_bodies(tmp_path, [f"p{i}" for i in range(6)]), (0, 1), value=1.0)


def test_it_tells_the_targets_own_deviations_whatever_the_references(people):
    folder, truth = people
    branch, batch = TrueBodyCondition(folder), miniature.batch()
    torch.testing.assert_close(branch.embed(batch), truth[:4], atol=1e-4, rtol=0)
    assert branch.embed(batch).dtype == torch.float32
    batch.identities = ["p5", "p0", "p0", "p3"]
    torch.testing.assert_close(branch.embed(batch), truth[[5, 0, 0, 3]], atol=1e-4, rtol=0)
    alone = miniature.batch(references=0)
    torch.testing.assert_close(branch.embed(alone, torch.Generator()), truth[:4], atol=1e-4, rtol=0)


def test_its_tokens_are_as_many_as_the_body_branchs_and_nothing_for_nobody(people):
    branch = TrueBodyCondition(people[0])
    projector = branch.projector(24)
    tokens = projector(branch.embed(miniature.batch()))
    assert tokens.shape == (4, 16, 24)
    assert not projector(torch.zeros(1, branch.embed_dim)).any()


def test_how_far_somebody_deviates_counts_as_which_way_does(people):
    torch.manual_seed(0)
    embeds = TrueBodyCondition(people[0]).embed(miniature.batch())
    tokens = TrueBodyCondition(people[0]).projector(24)
    less = torch.cat([embeds[:, :-1] / 4, embeds[:, -1:]], 1)
    assert F.cosine_similarity(tokens(embeds).flatten(1), tokens(less).flatten(1)).mean() < 0.8
    # without the 1, it would be nearly the same direction
    embeds[:, -1] = less[:, -1] = 0
    assert F.cosine_similarity(tokens(embeds).flatten(1), tokens(less).flatten(1)).mean() > 0.9


def test_a_stranger_and_a_folder_without_a_table_are_named(people, tmp_path):
    batch = miniature.batch()
    batch.identities[2] = "anna"
    with pytest.raises(BolidError, match="does not know anna"):
        TrueBodyCondition(people[0]).embed(batch)
    later = TrueBodyCondition(tmp_path / "later")  # may be built where nobody has been rendered
    with pytest.raises(BolidError, match="only folders of rendered people"):
        later.embed(miniature.batch())
    (tmp_path / "later").mkdir()
    fabricate_bodies(tmp_path / "later", batch.identities)
    assert later.embed(batch).shape == (4, 8)
