"""Distillation: the body condition learns the tokens that the oracle computes from true proportions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn import functional as F

from bolid.conditions import Condition
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.evaluation.protocol import TEXT_ALONE, Evaluation
from bolid.models.backbones import Backbone
from bolid.research.true_body import TrueBodyCondition
from bolid.tasks.adapter import AdapterTask
from bolid.tasks.checkpoints import read_checkpoint

PROJECTORS = "backbone.unet.encoder_hid_proj.image_projection_layers."


class DistilledBodyTask(AdapterTask):
    """E‖P_body(c) − P_oracle(r)‖², c ~ q(c_body | references), r the true proportions; K and V become the oracle's.

    Generalised distillation (Lopez-Paz et al. 2016): true proportions are privileged information, available in training
    only. L_diff is a weak signal of shape, so that an oracle with 7 exact numbers learns faster than the body condition
    with 64 entangled ones. The UNet does not run here; other conditions take the teacher's weights. With several
    processes DDP must find unused parameters.

    Args:
        oracle: Condition of the teacher in place of the body condition.
        teacher: Checkpoint of the teacher's fit.
        backbone: See `AdapterTask`, as the rest.

    Raises:
        BolidError: If there is no body condition.
    """

    def __init__(
        self,
        oracle: TrueBodyCondition,
        teacher: Path,
        backbone: Backbone,
        conditions: dict[str, Condition | None],
        evaluation: Evaluation = TEXT_ALONE,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        seed: int = 0,
    ):
        super().__init__(
            backbone, conditions, evaluation=evaluation, optimizer=optimizer, scheduler=scheduler, seed=seed
        )
        kinds = [condition.kind for condition in self.conditions.values()]
        if "body" not in kinds:
            names = ", ".join(self.conditions) or "none"
            raise BolidError(f"DistilledBodyTask teaches a body condition, and there is none among {names}")
        self.oracle, self.teacher, self.number = oracle, teacher, kinds.index("body")
        self.taught = oracle.projector(backbone.text_dim).requires_grad_(False)

    def warm_start(self) -> None:
        """Loads the teacher's weights at the start of a fit; a resumed one only those missing in its checkpoint."""
        if not self.started and self.trainer.state.fn == TrainerFn.FITTING:
            self._take_over(resumed=self.trainer.ckpt_path is not None)
        super().warm_start()

    def _take_over(self, resumed: bool) -> None:
        projector = f"{PROJECTORS}{self.number}."
        state = read_checkpoint(self.teacher, "teacher")["state_dict"]
        taught = {k.removeprefix(projector): v for k, v in state.items() if k.startswith(projector)}
        rest = {k: v for k, v in state.items() if not k.startswith(projector)}
        missing = {k for k in self.trained_keys() if not k.startswith(projector)} - rest.keys()
        try:
            # biases are zero and frozen, which checkpoints leave out
            unknown = self.taught.load_state_dict(taught, strict=False).unexpected_keys
            unknown += self.load_state_dict({} if resumed else rest, strict=False).unexpected_keys
        except RuntimeError as error:
            raise BolidError(f"teacher: {self.teacher} was fitted with other sizes ({error})") from error
        if unknown or missing or not taught:
            raise BolidError(
                f"teacher: {self.teacher} was not fitted with the same conditions but true proportions for the body"
            )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """The distance of a batch: scalar; logs it."""
        loss = self.distance(batch, self.step_generator())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Logs the distance for the mean of c_body."""
        self.log("val/loss", self.distance(batch), batch_size=len(batch), sync_dist=True)
        self.first.add(batch, batch_idx)

    def distance(self, batch: TrainingBatch, generator: torch.Generator | None = None) -> Tensor:
        """Mean squared difference of the tokens: scalar."""
        projector = self.backbone.unet.encoder_hid_proj.image_projection_layers[self.number]
        condition: Any = list(self.conditions.values())[self.number]
        tokens = projector(condition.embed(batch.references, generator))
        return F.mse_loss(tokens, self.taught(self.oracle.embed(batch.references)))
