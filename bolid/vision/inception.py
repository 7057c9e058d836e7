"""InceptionV3 of published FID and IS values; its weights come from a local file."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.paths import resolve
from bolid.vision.base import FeatureNetwork

SOURCE = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6cdfcba0.pth"


class InceptionV3(FeatureNetwork):
    """The FID Inception network of torch-fidelity (TensorFlow's weights of 2015).

    Args:
        weights: The file `weights-inception-2015-12-05-6cdfcba0.pth`.

    Raises:
        BolidError: If torch-fidelity is not installed, or the file is missing or another one.
    """

    name = "inceptionv3"
    num_features = 2048
    num_classes = 1008

    def __init__(self, weights: Path) -> None:
        super().__init__(_load_inception(resolve(weights)))

    def features(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> (B, 2048)."""
        return self._run(pictures)[0]

    def logits(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> (B, 1008), without the last layer's bias, as in the published IS."""
        return self._run(pictures)[1]

    def _run(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(pictures.device.type, enabled=False):
            features, logits = self.network((pictures.float() * 255).round().clamp(0, 255).to(torch.uint8))
        return features.flatten(1).float(), logits.float()


def _load_inception(path: Path) -> torch.nn.Module:
    if not path.is_file():
        raise BolidError(f"{path}: no such file; download {SOURCE} and put it there.")
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise BolidError("InceptionV3 needs torch-fidelity: pip install torch-fidelity") from error
    try:
        # torch-fidelity unpickles the file unsafely, so it must first load as plain tensors.
        torch.load(path, map_location="cpu", weights_only=True)
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], str(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise BolidError(f"{path}: not the Inception weights ({reason}); download {SOURCE}.") from error
