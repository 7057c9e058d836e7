from types import SimpleNamespace

import pytest
import torch
from torch import nn

from bolid.core.errors import BolidError
from bolid.metrics.body import BodySimilarity
from bolid.models.body_vae import BodyVAE
from bolid.vision.base import Frozen
from bolid.vision.pose import Pose
from tests.metrics.metric_fakes import make_batch


class Eye(nn.Module):
    """Finds a person filling pictures that are bright, nobody in dark ones."""

    def estimate(self, pictures):
        score = (pictures.mean((1, 2, 3)) > 0.1).float()
        box = torch.tensor([[0.0, 0.0, pictures.shape[-1], pictures.shape[-2]]]) * score[:, None]
        keypoints = torch.ones(len(pictures), 17, 3) * score[:, None, None]
        return Pose(keypoints, box, score)


class MeanColour(nn.Module):
    """A body encoder whose code is the mean colour of all views' upper half."""

    mean_code = torch.tensor([0.1, 0.2, 0.3])

    def encode(self, pictures, keypoints, mask):
        self.shape = pictures.shape
        colour = pictures[..., : pictures.shape[-2] // 2, :].mean((-1, -2))  # (B, M, 3)
        return SimpleNamespace(mean=(colour * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    BodyVAE(latent_dim=4, text_dim=2, channels=(8, 8), width=8, heads=1).save_pretrained(folder)
    return folder


@pytest.fixture
def by_colour(encoder_folder):
    """Makes the metric with an encoder whose answers are known."""

    def make(eye):
        metric = BodySimilarity(eye, str(encoder_folder))
        metric.encoder = Frozen(MeanColour())
        return metric

    return make


@pytest.fixture
def drawn():
    torch.manual_seed(0)
    pictures = torch.rand(3, 3, 48, 32)
    pictures[1] = 0  # nobody
    batch = make_batch(torch.zeros(3, 3, 48, 32), references=2)
    batch.references.mask[0, 1] = False
    return pictures, batch


def test_is_the_centred_cosine_and_nobody_counts_as_zero(drawn, by_colour):
    pictures, batch = drawn
    metric = by_colour(Eye())
    metric.update(pictures, batch)
    theirs = batch.references.pictures[..., :48, :].mean((-1, -2))
    theirs = torch.stack([theirs[0, 0], theirs[1].mean(0), theirs[2].mean(0)]) - MeanColour.mean_code
    # The whole-picture box gets a margin of a tenth, which is grey: the upper half is 1/12 margin rows of 6/12,
    # and the sides are margin too, so the code is a fixed share of the picture's colour.
    sums = (pictures * 2 - 1)[..., :24, :].sum((-1, -2))
    ours = sums / (28.8 * 38.4) - MeanColour.mean_code
    cosine = torch.cosine_similarity(ours, theirs)
    found = metric.compute()
    assert found["body_found"] == pytest.approx(2 / 3)
    assert found["body_similarity"] == pytest.approx(((cosine[0] + cosine[2]) / 3).item(), abs=0.02)
    assert metric.encoder.network.shape == (3, 2, 3, 96, 64)


def test_scores_are_kept_by_person(drawn, by_colour):
    pictures, batch = drawn
    metric = by_colour(Eye())
    batch.identities = ["a", "b", "a"]
    metric.update(pictures, batch)
    scores, people, _ = metric.person_scores()["body_similarity"]
    assert scores.mean() == metric.compute()["body_similarity"]
    assert scores[1] == 0
    assert people[0] == people[2] != people[1]
    metric.reset()
    metric.update(pictures[:1], batch[:1])
    assert len(metric.person_scores()["body_similarity"].scores) == 1


def test_the_reference_itself_is_alike(drawn, by_colour):
    _, batch = drawn
    batch.references.mask[:, 1] = False
    metric = by_colour(Whole())
    metric.update((batch.references.pictures[:, 0] + 1) / 2, batch)
    assert metric.compute()["body_similarity"] == pytest.approx(1, abs=1e-5)


class Whole(nn.Module):
    """Finds a person whose box with its margin is exactly the 96 x 64 picture."""

    def estimate(self, pictures):
        box = torch.tensor([[24.0, 8.0, 40.0, 88.0]]).repeat(len(pictures), 1)
        return Pose(torch.ones(len(pictures), 17, 3), box, torch.ones(len(pictures)))


def test_reads_a_trained_encoder_and_keeps_it_out_of_checkpoints(drawn, encoder_folder, tmp_path):
    metric = BodySimilarity(Eye(), str(encoder_folder))
    metric.update(*drawn)
    assert -1 <= metric.compute()["body_similarity"] <= 1
    assert not metric.state_dict()
    assert metric.clone().encoder.network is metric.encoder.network
    with pytest.raises(BolidError, match="nowhere"):
        BodySimilarity(Eye(), str(tmp_path / "nowhere"))
