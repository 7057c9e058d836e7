"""Stage 1's ceiling: the same encoder, on the same photos, taught the true proportions."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.measures import RATIOS, Body, read_bodies, standardise
from bolid.core.schema import PersonBatch
from bolid.models.body_vae import BodyVAE, Posterior
from bolid.tasks.body_vae import BodyVAETask


class SupervisedBodyTask(BodyVAETask):
    """Squared error of a linear reading of the code's mean; a test tells the `shape_r2` that there is to reach.

    Rendered people only, whose proportions are known. Nothing is drawn: the decoder stays as it is.

    Args:
        model: The encoder, and a decoder that is left alone.
        people: Folder of the rendered people.
        kwargs: See `BodyVAETask`.
    """

    def __init__(self, model: BodyVAE, people: Path, **kwargs: Any):
        super().__init__(model=model, people=people, **kwargs)
        self.folder = people
        self.shape = nn.Linear(model.config.latent_dim, len(RATIOS))
        for unused in (model.decoder, self.picture_nll, self.silhouette_nll):
            unused.requires_grad_(False)

    @cached_property
    def truth(self) -> dict[str, Body]:
        """Everybody's body by identity, once there are people."""
        return dict(read_bodies(self.folder))

    def losses(self, batch: PersonBatch, posterior: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
        """The one term, a scalar in within-gender variances."""
        truth = standardise([self.truth[who] for who in batch.identities]).to(self.device)  # (B, 7)
        return {"shape": F.mse_loss(self.shape(posterior.mean).float(), truth)}

    def total(self, terms: dict[str, Tensor], warm: float = 1.0) -> Tensor:
        """The loss: scalar."""
        return terms["shape"]
