"""Between two fits of stage 2: the body branch learns to say of c_body what the oracle says of true proportions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.models.backbones import Backbone
from bolid.research.true_body import TrueBodyCondition
from bolid.tasks.adapter import AdapterTask
from bolid.tasks.base import read_checkpoint

PROJECTORS = "backbone.unet.encoder_hid_proj.image_projection_layers."


class DistilledBodyTask(AdapterTask):
    """E‖P_body(c) − P_oracle(r)‖², c ~ q(c_body | references), r the true proportions; K and V become the oracle's.

    Generalised distillation (Lopez-Paz et al. 2016): rendered people's proportions are privileged information, which
    training has and drawing lacks. L_diff tells little of shape in each step, so that an oracle learns much sooner off
    7 exact numbers how pictures follow a body than the body branch does off 64 that mean other things too. No UNet runs
    here; other branches become the teacher's. With several processes DDP must be told to find unused parameters.

    Args:
        oracle: The branch that the teacher was fitted with in the place of the body branch.
        teacher: Checkpoint of that fit.
        backbone: See `AdapterTask`, as the rest.

    Raises:
        BolidError: If there is no body branch.
    """

    def __init__(
        self,
        oracle: TrueBodyCondition,
        teacher: Path,
        backbone: Backbone,
        branches: list[Condition],
        **kwargs: Any,
    ):
        super().__init__(backbone, branches, **kwargs)
        names = [branch.name for branch in branches]
        if "body" not in names:
            raise BolidError(f"DistilledBodyTask teaches a body branch, and there is none among {', '.join(names)}")
        self.oracle, self.teacher, self.number = oracle, teacher, names.index("body")
        self.taught = oracle.projector(backbone.text_dim).requires_grad_(False)

    def on_fit_start(self) -> None:
        """Takes the teacher's weights, times `strengths`; a resumed fit, too, since they stay what they are."""
        super().on_fit_start()
        projector = f"{PROJECTORS}{self.number}."
        state = read_checkpoint(self.teacher, "teacher")["state_dict"]
        said = {k.removeprefix(projector): v for k, v in state.items() if k.startswith(projector)}
        rest = self.warmed({k: v for k, v in state.items() if not k.startswith(projector)})
        missing = {k for k in self.trained_keys() if not k.startswith(projector)} - rest.keys()
        try:
            # biases are zero and frozen, which checkpoints leave out
            unknown = self.taught.load_state_dict(said, strict=False).unexpected_keys
            unknown += self.load_state_dict(rest, strict=False).unexpected_keys
        except RuntimeError as error:
            raise BolidError(f"teacher: {self.teacher} was fitted with other sizes ({error})") from error
        if unknown or missing or not said:
            raise BolidError(
                f"teacher: {self.teacher} was not fitted with the same branches but true proportions for the body"
            )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        loss = self.distance(batch, self.step_generator())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The same of the mean of c_body."""
        self.log("val/loss", self.distance(batch), batch_size=len(batch), sync_dist=True)
        self.keep_for_grid(batch, batch_idx)

    def distance(self, batch: TrainingBatch, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared difference of the tokens, a scalar."""
        projector = self.backbone.unet.encoder_hid_proj.image_projection_layers[self.number]
        said = projector(self.branches[self.number].embed(batch.references, generator))
        return F.mse_loss(said, self.taught(self.oracle.embed(batch.references)))
