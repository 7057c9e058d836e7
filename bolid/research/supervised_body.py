"""Stage 1's ceiling: the same encoder, on the same photos, taught the true proportions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.looks import VIEWS, Looks
from bolid.models.body_vae import BodyVAE, Posterior
from bolid.synthetic.measures import RATIOS, Body, read_bodies, standardise
from bolid.synthetic.metrics.shape_probe import codes_and_shapes, shape_report
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
        model.decoder.requires_grad_(False)

    @cached_property
    def truth(self) -> dict[str, Body]:
        """Everybody's body by identity, once there are people."""
        return dict(read_bodies(self.folder))

    def on_fit_start(self) -> None:
        """Refuses people whom the table does not know.

        Raises:
            BolidError: If there are any.
        """
        super().on_fit_start()
        splits = self.of_data("splits", {"train": [], "val": []})
        if strange := sorted({r.identity for s in ("train", "val") for r in splits[s]} - self.truth.keys()):
            raise BolidError(f"{self.folder} does not know {strange[0]}: set the task's people to data.folder")

    def measure(self, test: Looks, train: Looks, families: Mapping[str, Hashable]) -> dict[str, float]:
        """`shape_r2` as the network itself reads it, `shape_r2_probe` as other encoders are read.

        A probe is fitted on training people, whose proportions this encoder was told: it would trust it too much.
        """
        found = super().measure(test, train, families)
        codes, truth = codes_and_shapes(self.model, test, self.truth, (0, VIEWS))
        with torch.no_grad():
            read = self.shape(torch.from_numpy(codes).to(self.device)).float().cpu().numpy()
        return found | {"shape_r2_probe": found["shape_r2"]} | shape_report(truth, read)

    def losses(self, batch: TrainingBatch, posterior: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
        """The one term, a scalar in within-gender variances."""
        truth = standardise([self.truth[who] for who in batch.identities]).to(self.device)  # (B, 7)
        return {"shape": F.mse_loss(self.shape(posterior.mean).float(), truth)}

    def total(self, terms: dict[str, Tensor], warm: float = 1.0) -> Tensor:
        """The loss: scalar."""
        return terms["shape"]
