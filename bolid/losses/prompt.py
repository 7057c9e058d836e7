"""Prompt adherence by attribute classifiers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.losses.base import ImageLoss
from bolid.vision.readers import UNKNOWN, AttributeReader


class PromptLoss(ImageLoss):
    """−log p(class | x_gen) of an attribute classifier, the mean over the attributes in the caption.

    L_CLIP compares whole captions, in which the pose is only a few words.

    Args:
        reader: Attribute classifier; use another one than the metric's.
        attributes: Attributes to score: by default those that other losses degrade. Gender depends on proportions, too.
        weight: See `Loss`, as the rest.

    Raises:
        BolidError: If the reader lacks one of them.
    """

    needs = "samples whose caption asks for one of its attributes (`asked`)"

    def __init__(
        self,
        reader: AttributeReader,
        attributes: Sequence[str] = ("pose", "view"),
        weight: float = 0.1,
        start: int = 0,
        ramp: int = 0,
    ):
        super().__init__(weight, start, ramp)
        if unknown := sorted(set(attributes) - reader.classes.keys()):
            raise BolidError(f"PromptLoss: no attribute {unknown[0]!r}; there are {', '.join(reader.classes)}")
        self.reader, self.attributes = reader, tuple(attributes)

    def can_score(self, batch: TrainingBatch) -> Tensor:
        """Samples whose caption contains at least one of the attributes."""
        return (self.labels(batch) != UNKNOWN).any(0)

    def labels(self, batch: TrainingBatch) -> Tensor:
        """(attributes, B) classes in the captions."""
        labels = self.reader.labels(batch.asked)
        return torch.stack([labels[name] for name in self.attributes]).to(batch.pictures.device)

    def forward(self, images: Tensor, batch: TrainingBatch, groups: Tensor) -> Tensor:
        """See `ImageLoss.forward`."""
        read, wanted = self.reader(images), self.labels(batch)
        terms = [
            F.cross_entropy(read[name], labels, ignore_index=UNKNOWN, reduction="none")
            for name, labels in zip(self.attributes, wanted, strict=True)
        ]
        return torch.stack(terms).sum(0) / (wanted != UNKNOWN).sum(0).clamp_min(1)
