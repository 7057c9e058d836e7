"""Networks that read proportions and attributes off images; losses and metrics take any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bolid.vision.base import Frozen

UNKNOWN = -1  # label of an attribute that is not asked for, or asked for in a class that the reader does not know


class ProportionReader(Frozen, ABC):
    """Reads a body's K proportions off images of whole figures, as deviations from the average body."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> (B, K) in standard deviations within a gender, with gradients."""

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """The same without gradients, as exactly as the reader can."""
        return self(images)


class AttributeReader(Frozen, ABC):
    """Classifies what images show, attribute by attribute.

    Attributes:
        classes: Attribute -> its classes, named as `ImageRecord.attributes` names them.
    """

    classes: Mapping[str, tuple[str, ...]]

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in 0..1 -> attribute -> logits (B, classes), with gradients."""

    @torch.no_grad()
    def read(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in 0..1 -> attribute -> (B,) index of the likeliest class in `classes`."""
        return {name: logits.argmax(1) for name, logits in self(images).items()}

    def labels(self, asked: Sequence[Mapping[str, str]]) -> dict[str, Tensor]:
        """Attribute -> (B,) index of the class that each sample asks for, `UNKNOWN` where there is none."""
        return attribute_labels(self.classes, asked)


def attribute_labels(classes: Mapping[str, Sequence[str]], asked: Sequence[Mapping[str, str]]) -> dict[str, Tensor]:
    """Attribute -> (B,) index among its classes of the one that each sample asks for, `UNKNOWN` where there is none."""
    return {
        name: torch.tensor([known.index(a[name]) if a.get(name) in known else UNKNOWN for a in asked])
        for name, known in classes.items()
    }
