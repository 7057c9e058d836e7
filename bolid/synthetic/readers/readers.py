"""Frozen judges of pictures: what they show, and how the body in them is proportioned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import SAFETENSORS_WEIGHTS_NAME
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.paths import find_folder
from bolid.synthetic.readers.anthropometer import AnthropometerNetwork
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.synthetic.wording import ATTRIBUTES, attributes
from bolid.vision.base import Frozen

UNSAID = -1  # as a label


class _Judge(Frozen):
    def __init__(self, kind: Any, weights: Path, remedy: str) -> None:
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
        super().__init__(network.float())

    def _fit(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in 0..1 to the network's size and range."""
        size = tuple(self.network.config.size)
        if pictures.shape[-2:] != size:
            pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True, align_corners=False)
        return pictures * 2 - 1

    def _with_mirror(self, pictures: Tensor) -> Tensor:
        """The pictures, then their mirror images, as the network wants them: (2B, 3, h, w)."""
        fitted = self._fit(pictures)
        return torch.cat([fitted, fitted.flip(-1)])


class AttributeReader(_Judge):
    """Says of `bolid.synthetic.wording.ATTRIBUTES` what a picture and its mirror image, taken together, show.

    Args:
        weights: Folder of a trained `AttributeNetwork`.

    Raises:
        BolidError: if there is none, or it was trained on another vocabulary.
    """

    def __init__(self, weights: Path) -> None:
        remedy = "train one with `bolid fit --config configs/tiny/attributes.yaml`; data/tiny/attributes is one."
        super().__init__(AttributeNetwork, weights, remedy)
        known, today = list(self.network.config.classes), list(map(len, ATTRIBUTES.values()))
        if known != today:
            names = ", ".join(ATTRIBUTES)
            raise BolidError(f"{weights}: knows {known} classes of {names}, but captions have {today}: {remedy}")

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W) in 0..1 -> attribute -> logits (B, classes), of the pictures alone, with gradients."""
        return {name: logits.float() for name, logits in self.network(self._fit(pictures)).items()}

    @torch.no_grad()
    def read(self, pictures: Tensor) -> dict[str, Tensor]:
        """Pictures (B, 3, H, W) in 0..1 -> attribute -> (B,) index of the likeliest class in `ATTRIBUTES`."""
        both = self.network(self._with_mirror(pictures))
        return {name: mean_of_both(logits.float().log_softmax(1)).argmax(1) for name, logits in both.items()}


class Anthropometer(_Judge):
    """Reads a body's proportions off a picture of the whole figure, seen from the front or turned halfway at most.

    Args:
        weights: Folder of a trained `AnthropometerNetwork`.

    Raises:
        BolidError: if there is none.
    """

    def __init__(self, weights: Path) -> None:
        remedy = "train one with `bolid fit --config configs/tiny/anthropometer.yaml`; data/tiny/anthropometer is one."
        super().__init__(AnthropometerNetwork, weights, remedy)

    def forward(self, pictures: Tensor) -> Tensor:
        """What `read` tells of the pictures alone, with gradients to them."""
        return self.network(self._fit(pictures)).ratios

    @torch.no_grad()
    def read(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in 0..1 -> (B, 7) `RATIOS` as `standardise` tells the truth: 0 is average.

        A mean over the picture and its mirror image, whose errors differ.
        """
        return mean_of_both(self.network(self._with_mirror(pictures))[0])


def mean_of_both(read: Tensor) -> Tensor:
    """What was read off pictures, then off their mirror images (2B, ...) -> the means (B, ...)."""
    return read.unflatten(0, (2, -1)).mean(0)


def attribute_labels(captions: Sequence[str]) -> dict[str, Tensor]:
    """Attribute -> (B,) index of the class each caption names, `UNSAID` where it names none."""
    said = [attributes(caption) for caption in captions]
    return {
        name: torch.tensor([classes.index(s[name]) if name in s else UNSAID for s in said])
        for name, classes in ATTRIBUTES.items()
    }
