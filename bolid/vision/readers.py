"""Interfaces of networks that predict proportions and attributes from images, for losses and metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bolid.vision.base import Frozen

UNKNOWN = -1  # label of an attribute that is absent from the caption, or of a class that the reader lacks


class ProportionReader(Frozen, ABC):
    """Predicts K body proportions from images of whole figures, as deviations from the average body."""

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> (B, K) in standard deviations within a gender, with gradients."""

    @torch.no_grad()
    def read(self, images: Tensor) -> Tensor:
        """The same without gradients, at the reader's highest accuracy."""
        return self(images)


class AttributeReader(Frozen, ABC):
    """Classifies attributes of images.

    Attributes:
        classes: Attribute -> its classes, named as in `ImageRecord.attributes`.
    """

    classes: Mapping[str, tuple[str, ...]]

    @abstractmethod
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in 0..1 -> attribute -> logits (B, classes), with gradients."""

    @torch.no_grad()
    def read(self, images: Tensor) -> dict[str, Tensor]:
        """Images (B, 3, H, W) in 0..1 -> attribute -> (B,) index of the most likely class in `classes`."""
        return {name: logits.argmax(1) for name, logits in self(images).items()}

    def labels(self, asked: Sequence[Mapping[str, str]]) -> dict[str, Tensor]:
        """Attribute -> (B,) index of the class in each sample's caption, or `UNKNOWN`."""
        return attribute_labels(self.classes, asked)


def attribute_labels(classes: Mapping[str, Sequence[str]], asked: Sequence[Mapping[str, str]]) -> dict[str, Tensor]:
    """Attribute -> (B,) index of the class in each sample's caption among its classes, or `UNKNOWN`."""
    return {
        name: torch.tensor([known.index(a[name]) if a.get(name) in known else UNKNOWN for a in asked])
        for name, known in classes.items()
    }
