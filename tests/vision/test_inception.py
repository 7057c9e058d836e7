import pickle

import pytest
import torch

from bolid.core.errors import BolidError
from bolid.vision.inception import InceptionV3
from tests import miniature


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return miniature.save_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


def test_features_and_logits_belong_together(weights):
    inception = InceptionV3(weights)
    pictures = torch.rand(2, 3, 96, 64)
    features, logits = inception.features(pictures), inception.logits(pictures)
    assert features.shape == (2, inception.num_features)
    assert logits.shape == (2, inception.num_classes)
    torch.testing.assert_close(logits, features @ inception.network.fc.weight.T, atol=1e-4, rtol=1e-4)


def test_files_that_are_not_the_weights_are_refused(tmp_path):
    with pytest.raises(BolidError, match=r"none\.pth: no such file; download https://"):
        InceptionV3(tmp_path / "none.pth")
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(BolidError, match="not the Inception weights"):
        InceptionV3(tmp_path / "other.pth")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_file_cannot_run_code(tmp_path):
    owned = tmp_path / "owned"
    torch.save({"x": Evil(str(owned))}, tmp_path / "zip.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Evil(str(owned))))
    for name in ("zip.pth", "old.pth"):
        with pytest.raises(BolidError, match="not the Inception weights"):
            InceptionV3(tmp_path / name)
    assert not owned.exists()
