"""Embedded readers of attributes and body proportions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.paths import find_folder
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.synthetic.wording import ATTRIBUTES
from bolid.vision.readers import AttributeReader, ProportionReader

REMEDY = "train one with `bolid fit --config configs/tiny/{0}.yaml`; data/tiny/{0} is one."


class EmbeddedAttributes(AttributeReader):
    """Classifies `bolid.synthetic.wording.ATTRIBUTES` by an image and its mirror image.

    Args:
        weights: Folder of a trained `AttributeNetwork`.

    Raises:
        BolidError: If there is none, or it was trained on another vocabulary.
    """

    classes = ATTRIBUTES

    def __init__(self, weights: Path) -> None:
        remedy = REMEDY.format("attributes")
        super().__init__(load_network(AttributeNetwork, weights, remedy))
        known, today = list(self.network.config.classes), list(map(len, ATTRIBUTES.values()))
        if known != today:
            names = ", ".join(ATTRIBUTES)
            raise BolidError(f"{weights}: knows {known} classes of {names}, but captions have {today}: {remedy}")

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in 0..1 -> attribute -> logits (B, classes), of the images alone, with gradients."""
        return {name: logits.float() for name, logits in self.network(fitted(self.network, pictures)).items()}

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """Feature maps of images (B, 3, H, W) in 0..1: (B, C, h, w)."""
        return self.network.trunk.maps(fitted(self.network, images)).float()

    @torch.no_grad()
    def read(self, pictures: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in 0..1 -> attribute -> (B,) index of the most likely class in `ATTRIBUTES`."""
        both = self.network(with_mirror(self.network, pictures))
        return {name: mean_of_both(logits.float().log_softmax(1)).argmax(1) for name, logits in both.items()}


class Anthropometer(ProportionReader):
    """Predicts body proportions from an image of a whole figure in front or three-quarter view.

    Args:
        weights: Folder of a trained `AnthropometerNetwork`.

    Raises:
        BolidError: If there is none.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__(load_network(AnthropometerNetwork, weights, REMEDY.format("anthropometer")))

    def forward(self, pictures: Tensor) -> Tensor:
        """Like `read` without the mirror image, with gradients."""
        return self.network(fitted(self.network, pictures)).ratios

    @torch.no_grad()
    def read(self, pictures: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> (B, 7) `RATIOS` in the units of `standardise`: 0 is average.

        The mean over the image and its mirror image.
        """
        return mean_of_both(self.network(with_mirror(self.network, pictures))[0])


def mean_of_both(read: Tensor) -> Tensor:
    """Predictions for images, then for their mirror images (2B, ...) -> the means (B, ...)."""
    return read.unflatten(0, (2, -1)).mean(0)


def load_network(kind: Any, weights: Path, remedy: str) -> nn.Module:
    """A trained network of a class that diffusers saves and loads, in float32.

    Raises:
        BolidError: If the folder holds none.
    """
    folder = find_folder(weights, SAFETENSORS_WEIGHTS_NAME, remedy)
    try:
        network, found = kind.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BolidError(f"{folder} holds no readable {kind.__name__} ({reason}): {remedy}") from error
    if wrong := sorted(found["missing_keys"]) or sorted(found["unexpected_keys"]):
        raise BolidError(f"{folder} holds no {kind.__name__} (it differs in {wrong[0]}): {remedy}")
    return network.float()


def fitted(network: Any, images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in 0..1, converted to the network's size and range, -1..1."""
    size = tuple(network.config.size)
    if images.shape[-2:] != size:
        images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    return images * 2 - 1


def with_mirror(network: Any, images: Tensor) -> Tensor:
    """The images, then their mirror images, as the network's input: (2B, 3, h, w)."""
    ready = fitted(network, images)
    return torch.cat([ready, ready.flip(-1)])
