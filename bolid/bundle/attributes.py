"""Trains the bundle's attribute classifier, for prompt adherence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.bundle.perception import PerceptionTask, RawAndRoundTrip
from bolid.core.schema import TrainingBatch
from bolid.synthetic.metrics.adherence import PromptAdherence
from bolid.synthetic.readers import EmbeddedAttributes
from bolid.synthetic.readers.attributes import AttributeNetwork
from bolid.synthetic.wording import ATTRIBUTES
from bolid.tasks.coverage import Part
from bolid.vision.readers import UNKNOWN, attribute_labels


class AttributesTask(PerceptionTask):
    """Cross-entropy on every attribute in a photo's full caption.

    Args:
        network: Network to train.
        smoothing: Label smoothing.
        kwargs: See `PerceptionTask`.
    """

    def __init__(self, network: AttributeNetwork, smoothing: float = 0.02, **kwargs: Any):
        super().__init__(network=network, **kwargs)
        self.smoothing = smoothing

    def parts(self) -> dict[str, Part]:
        """See `BaseTask.parts`."""
        return {
            "attributes": Part(teaches_attributes, "captions that ask for attributes", "data.folder to such photos")
        }

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The loss of a batch: scalar; logs it."""
        pictures, _, _ = self.augment(batch, self.step_generator())
        loss = self.loss(self.network(pictures), batch)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def loss(self, logits: dict[str, Tensor], batch: TrainingBatch) -> Tensor:
        """The sum of the attributes' cross-entropies, each a mean over the photos that have it: scalar, in nats."""
        labels = attribute_labels(ATTRIBUTES, batch.full_asked)
        terms = [
            F.cross_entropy(
                logits[name].float(), label.to(self.device), ignore_index=UNKNOWN, label_smoothing=self.smoothing
            )
            for name, label in labels.items()
            if (label != UNKNOWN).any()
        ]
        nothing = 0.0 * torch.cat(list(logits.values()), 1).float().sum()  # DDP waits for a gradient of every head
        return sum(terms, nothing)

    def new_score(self, folder: Path) -> RawAndRoundTrip:
        """Accuracy on held-out photos."""
        return RawAndRoundTrip(PromptAdherence(EmbeddedAttributes(folder)), self.vae)


def teaches_attributes(batch: TrainingBatch) -> Tensor:
    """(B,) bool: photos whose full caption contains an attribute of the classifier."""
    labels = attribute_labels(ATTRIBUTES, batch.full_asked)
    return torch.stack(list(labels.values())).ne(UNKNOWN).any(0)
