"""Supervised upper bound of stage 1: the same encoder on the same photos, trained on true proportions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import Report
from bolid.metrics.looks import VIEWS
from bolid.metrics.probe import Seen
from bolid.metrics.shape_probe import codes_and_shapes
from bolid.models.body_vae import Posterior
from bolid.synthetic.measures import RATIOS
from bolid.synthetic.metrics.shape_probe import RatiosProbe
from bolid.tasks.body_vae import BodyVAETask
from bolid.tasks.coverage import Part


class SupervisedBodyTask(BodyVAETask):
    """Squared error of proportions predicted linearly from the code's mean; a test gives the attainable `shape_r2`.

    Only people with known proportions count. The decoder is unchanged.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.shape = nn.Linear(self.model.config.latent_dim, len(RATIOS))
        self.model.decoder.requires_grad_(False)

    def measure(self, seen: Seen) -> Report:
        """`shape_r2` by the network's own linear layer, `shape_r2_probe` by the probe of other encoders.

        A probe is fitted on training people, on whose proportions this encoder was trained, and so overfits.
        """
        report = super().measure(seen)
        if "shape_r2" not in report.metrics:
            return report
        codes, truth = codes_and_shapes(self.model, seen.test, (0, VIEWS))
        with torch.no_grad():
            read = self.shape(torch.from_numpy(codes).to(self.device)).float().cpu().numpy()
        metrics = report.metrics | {"shape_r2_probe": report.metrics["shape_r2"]} | RatiosProbe().scores(truth, read)
        self.tested.report = replace(report, metrics=metrics)
        return self.tested.report

    def parts(self) -> dict[str, Part]:
        """See `BaseTask.parts`."""
        return {"shape": Part(taught, "people whose proportions are known", "data.folder to one of rendered people")}

    def terms(self, batch: TrainingBatch, posterior: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
        """The only term, a scalar in within-gender variances; 0 without known proportions."""
        truth, known = batch.references.proportions, taught(batch)
        read = self.shape(posterior.mean).float()
        return {"shape": F.mse_loss(read[known], truth[known]) if known.any() else 0.0 * read.sum()}

    def total(self, terms: dict[str, Tensor], step: float) -> Tensor:
        """The loss: scalar."""
        return terms["shape"]


def taught(batch: TrainingBatch) -> Tensor:
    """(B,) bool: people whose proportions are known."""
    return batch.references.shape_known(len(RATIOS))
