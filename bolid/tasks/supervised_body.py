"""Stage 1's ceiling: the same encoder, on the same photos, taught the true proportions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.measures import RATIOS, read_bodies, standardise
from bolid.core.schema import PersonBatch
from bolid.models.body_vae import BodyVAE
from bolid.tasks.body_vae import BodyVAETask


class SupervisedBodyTask(BodyVAETask):
    """Squared error of a linear reading of the code's mean; a test tells the `shape_r2` that there is to reach.

    Rendered people only, whose proportions are known. Nothing is drawn: the decoder stays as it is.

    Args:
        model: The encoder, and a decoder that is left alone.
        kwargs: See `BodyVAETask`; `people` is needed.

    Raises:
        BolidError: If no `people` are named.
    """

    def __init__(self, model: BodyVAE, **kwargs: Any):
        super().__init__(model=model, **kwargs)
        if self.people is None:
            raise BolidError("true proportions are taught, so set the task's people to the folder of rendered people")
        self.shape = nn.Linear(model.config.latent_dim, len(RATIOS))
        for unused in (model.decoder, self.picture_nll, self.silhouette_nll):
            unused.requires_grad_(False)

    def on_fit_start(self) -> None:
        """Reads the bodies of the people to train on."""
        super().on_fit_start()
        self.bodies = read_bodies(self.people)

    def on_validation_start(self) -> None:
        """As `on_fit_start`."""
        super().on_validation_start()
        self.bodies = read_bodies(self.people)

    def losses(self, batch: PersonBatch, posterior: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """The one term, a scalar in within-gender variances."""
        truth = standardise([self.bodies[who] for who in batch.identities]).to(self.device)  # (B, 7)
        return {"shape": F.mse_loss(self.shape(posterior.mean).float(), truth)}

    def total(self, terms: dict[str, Tensor], warm: float = 1.0) -> Tensor:
        """The loss: scalar."""
        return terms["shape"]
