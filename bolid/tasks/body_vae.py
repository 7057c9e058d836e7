"""Stage 1: trains Γ_body to decode a held-out photo of a person from views of the others."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.data.specs import SplitSpec
from bolid.evaluation.probing import EncoderTest, ProbeSpec
from bolid.evaluation.results import Report
from bolid.losses.body_vae import BodyVAELoss, Decoded, Decoding
from bolid.metrics.probe import Seen
from bolid.models.augment import ViewAugment
from bolid.models.backbones import Backbone
from bolid.models.body_vae import BodyVAE, Posterior, load_body_vae
from bolid.tasks.base import BaseTask

DECODER = ("text_dim", "decoder_channels")  # settings of what an exported encoder lacks


class BodyVAETask(BaseTask):
    """Γ_body and its decoder by `BodyVAELoss`; a test asks probes what the codes of other people hold.

    Args:
        model: Encoder and decoder.
        backbone: Whose text encoder reads the captions for the decoder.
        loss: The terms and their weights; null: as by default.
        decoding: What the decoder receives, and how much is decoded; null: as by default.
        augment: How the references are changed in training; null: not at all.
        probe: How a test measures; null: as by default.
        optimizer: See `BaseTask`, as the rest.
        init_from: A checkpoint, or the folder of an exported encoder, such as `data/tiny/body_vae`.

    Raises:
        BolidError: If the decoder reads caption features of another size than the backbone's.
    """

    trained_buffers = ("model.mean_code",)

    def __init__(
        self,
        model: BodyVAE,
        backbone: Backbone,
        loss: BodyVAELoss | None = None,
        decoding: Decoding | None = None,
        augment: ViewAugment | None = None,
        probe: ProbeSpec | None = None,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        scheduler: LRSchedulerCallable | None = None,
        init_from: Path | None = None,
        seed: int = 0,
    ):
        super().__init__(optimizer, scheduler, init_from, seed)
        if model.config.text_dim != backbone.text_dim:
            raise BolidError(
                f"the decoder reads {model.config.text_dim} numbers a caption, but {backbone.path} gives "
                f"{backbone.text_dim}: set the model's text_dim to {backbone.text_dim}"
            )
        self.model, self.backbone, self.augment = model, backbone, augment
        self.loss, self.decoding = loss or BodyVAELoss(), decoding or Decoding()
        self.tested = EncoderTest(probe or ProbeSpec(), seed)

    def on_fit_start(self) -> None:
        """Refuses a term that the data do not feed.

        Raises:
            BolidError: If no sample shows another outfit.
        """
        super().on_fit_start()
        if self.loss.consistency and not self.of_data("shows_outfits", True):
            raise BolidError(
                "consistency compares photos with the same ones in another outfit, and there are none: render people "
                "with data.rendered.train.outfits: 2 and data.train.second_outfit: true, or set consistency: 0"
            )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        generator = self.step_generator()
        batch = self.augmented(batch, generator)
        posterior = self.encode(batch)
        terms = self.terms(batch, posterior, generator)
        loss = self.total(terms, self.global_step)
        self.log_dict({f"train/{k}": v for k, v in terms.items()} | {"train/loss": loss})
        self._track_mean(posterior.mean)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The same terms with noise that depends only on the batch's number."""
        terms = self.terms(batch, self.encode(batch), self.generator(0, batch_idx))
        logged = {f"val/{k}": v for k, v in terms.items()} | {"val/loss": self.total(terms, inf)}
        self.log_dict(logged, batch_size=len(batch), sync_dist=True)

    def augmented(self, batch: TrainingBatch, generator: torch.Generator) -> TrainingBatch:
        """The batch with its references as `augment` makes them."""
        if self.augment is None:
            return batch
        seen, pictures, keypoints = batch.references.mask, batch.references.pictures, batch.references.keypoints
        pictures, keypoints = pictures.clone(), keypoints.clone()
        with torch.autocast(self.device.type, enabled=False):  # in bfloat16 a grid's lines would be jagged
            pictures[seen], keypoints[seen] = self.augment(pictures[seen], keypoints[seen], generator)
        return replace(batch, references=replace(batch.references, pictures=pictures, keypoints=keypoints))

    def encode(self, batch: TrainingBatch) -> Posterior:
        """The posterior of the references."""
        return self.model.encode(batch.references.pictures, batch.references.keypoints, batch.references.mask)

    def terms(self, batch: TrainingBatch, posterior: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss's terms, each a scalar."""
        text = self.backbone.text_features(batch.captions) * self.decoding.caption
        given = Decoded(posterior.sample(generator), self.decoding.pose_of(batch), text)
        return self.loss(self.model, batch, posterior, given, self.decoding.max_samples, generator)

    def total(self, terms: dict[str, Tensor], step: float) -> Tensor:
        """The loss in a step: scalar."""
        return self.loss.total(terms, step)

    def load_exported(self, folder: Path) -> None:
        """Takes the weights of an exported encoder; the decoder stays as it is.

        Raises:
            BolidError: If there is none, or it was trained with other settings, or a decoder is to be validated.
        """
        found = load_body_vae(str(folder))
        ours, theirs = self.model.config, found.config
        differing = [k for k in ours if not k.startswith("_") and k not in DECODER and not same(ours[k], theirs[k])]
        if differing:
            name = differing[0]
            raise BolidError(
                f"init_from: the encoder of {folder} has {name} {theirs[name]}, and this configuration's {ours[name]}: "
                f"set the model's {name} to {theirs[name]}"
            )
        if self.trainer.validating:
            raise BolidError(f"init_from: {folder} holds an encoder without the decoder that validation needs")
        self.model.load_state_dict(found.state_dict(), strict=False)

    def on_test_start(self) -> None:
        """A new test starts afresh.

        Raises:
            BolidError: If photos are shown whole and nothing finds the people in them.
        """
        super().on_test_start()
        spec = self.of_data("specs", {"test": SplitSpec("person", probe=True)})["test"]
        if not spec.probe:
            raise BolidError("probes are fitted on people of the training: set data.test.probe: true")
        if self.tested.spec.pose is None and spec.target != "person":
            raise BolidError("nothing finds people in whole photos: set model.probe.pose, or data.test.target: person")
        self.tested.reset()

    def test_step(self, batch: TrainingBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Looks at photos of people who are tested (loader 0) and of the training's (loader 1)."""
        self.tested.add(self.model, self.backbone, batch, training=dataloader_idx > 0)

    def on_test_epoch_end(self) -> None:
        """Asks the probes about what all ranks saw, and logs every number as test/<name>."""
        families = self.of_data("families", lambda split: {})("test")
        found = self.measure(self.tested.seen(self.model, families))
        self.log_dict({f"test/{name}": value for name, value in found.metrics.items()})

    def measure(self, seen: Seen) -> Report:
        """The numbers of a test."""
        return self.tested.measure(seen)

    def report(self) -> Report:
        """What the test measured."""
        return self.tested.report

    @torch.no_grad()
    def _track_mean(self, mean: Tensor) -> None:
        """c_body's mean over the training people, for centred cosines: of all steps at first, then a running one."""
        if mean.isfinite().all():
            self.model.mean_code.lerp_(mean.float().mean(0), max(0.01, 1 / (self.global_step + 1)))

    def export(self, folder: Path) -> None:
        """Writes the encoder as a diffusers-style folder."""
        self.model.encoder().save_pretrained(folder)


def same(one: object, other: object) -> bool:
    """Whether two settings are the same; JSON knows lists alone."""
    return (list(one) if isinstance(one, tuple) else one) == (list(other) if isinstance(other, tuple) else other)
