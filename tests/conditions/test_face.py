"""The face condition takes embeddings of any recogniser."""

import pytest
import torch

from bolid.conditions.face import FaceCondition
from bolid.core.errors import BolidError
from bolid.core.schema import References
from bolid.pipelines.identify import View, identify, pose_alone, references


def seen(*faces):
    """Views of a person with these faces."""
    return references([View(f"{k}.jpg", {}, face) for k, face in enumerate(faces)], None)


@pytest.mark.parametrize("size", [128, 512])
def test_it_is_the_mean_of_the_faces_that_are_shown(size):
    first, second = torch.randn(size), torch.randn(size)
    condition = FaceCondition(embed_dim=size)
    found = condition.embed(seen(first, None, second))
    torch.testing.assert_close(found, ((first + second) / 2)[None])
    assert condition.projector(32)(found).shape == (1, 4, 32)


def test_an_identity_holds_a_face_of_any_size():
    person = identify({"face": FaceCondition(embed_dim=128)}, [View("a.jpg", {}, torch.ones(128))], "f" * 64)
    assert person["face"].values.shape == (128,)


def test_who_shows_no_face_has_zeros_of_the_conditions_size():
    condition = FaceCondition(embed_dim=128)
    for nobody in (seen(None, None), pose_alone(None, 3)):
        assert isinstance(nobody, References)
        found = condition.embed(nobody)
        assert found.shape == (len(nobody.faces), 128)
        assert found.abs().sum() == 0


def test_faces_of_another_recogniser_are_refused_in_a_line():
    with pytest.raises(BolidError, match="the photos' faces have 128 numbers and the face condition takes 512: set"):
        FaceCondition().embed(seen(torch.ones(128)))


def test_the_size_is_stored_where_it_is_not_the_usual_one():
    assert "embed_dim" not in FaceCondition().arguments
    again = FaceCondition(**FaceCondition(embed_dim=128, fingerprint="f" * 64).arguments)
    assert (again.embed_dim, again.fingerprint) == (128, "f" * 64)
    for wrong in (0, -1, 5000, "x"):
        with pytest.raises(BolidError, match="embed_dim="):
            FaceCondition(embed_dim=wrong)
