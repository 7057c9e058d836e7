"""Stage 1: trains Γ_body to decode a held-out photo of a person from the person's other photos."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.evaluation.probing import EncoderTest, ProbeSpec
from bolid.evaluation.results import Report
from bolid.losses.body_vae import BodyVAELoss, Decoded, Decoding
from bolid.metrics.probe import Seen
from bolid.models.augment import ViewAugment
from bolid.models.backbones import Backbone
from bolid.models.body_vae import BodyVAE, Posterior, load_body_vae
from bolid.tasks.base import BaseTask
from bolid.tasks.coverage import Part

DECODER = ("text_dim", "decoder_channels")  # settings of the decoder, which an exported encoder lacks


class BodyVAETask(BaseTask):
    """Trains Γ_body and its decoder by `BodyVAELoss`; a test evaluates the codes of unseen people with probes.

    Args:
        model: Encoder and decoder.
        backbone: Backbone whose text encoder encodes the captions for the decoder.
        loss: Terms and their weights; null for the defaults.
        decoding: Inputs of the decoder, and the share of samples decoded; null for the defaults.
        augment: Augmentation of the references in training; null for none.
        probe: Settings of a test's probes; null for the defaults.
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

    def parts(self) -> dict[str, Part]:
        """See `BaseTask.parts`: the loss's terms that need more than photos and keypoints."""
        return {
            f"loss.{term}": Part(can_use, needs, f"model.loss.{setting}: 0")
            for term, (setting, can_use, needs) in self.loss.scored().items()
        }

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """L of a batch: scalar; logs every term."""
        generator = self.step_generator()
        batch = self.augmented(batch, generator)
        posterior = self.encode(batch)
        terms = self.terms(batch, posterior, generator)
        loss = self.total(terms, self.global_step)
        self.log_dict({f"train/{k}": v for k, v in terms.items()} | {"train/loss": loss})
        self._track_mean(posterior.mean)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """Logs the same terms, with noise seeded by the batch index."""
        terms = self.terms(batch, self.encode(batch), self.generator(0, batch_idx))
        logged = {f"val/{k}": v for k, v in terms.items()} | {"val/loss": self.total(terms, inf)}
        self.log_dict(logged, batch_size=len(batch), sync_dist=True)

    def augmented(self, batch: TrainingBatch, generator: torch.Generator) -> TrainingBatch:
        """The batch with its references augmented."""
        if self.augment is None:
            return batch
        seen, pictures, keypoints = batch.references.mask, batch.references.pictures, batch.references.keypoints
        pictures, keypoints = pictures.clone(), keypoints.clone()
        with torch.autocast(self.device.type, enabled=False):  # bfloat16 sampling grids are too coarse
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
        """The sum of the terms by their weights at `step`: scalar."""
        return self.loss.total(terms, step)

    def load_exported(self, folder: Path) -> None:
        """Loads the weights of an exported encoder; the decoder stays unchanged.

        Raises:
            BolidError: If there is none, its settings differ, or a validation needs the decoder.
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
        """Resets the probes.

        Raises:
            BolidError: If photos are uncropped and no pose network is set to detect the people in them.
        """
        super().on_test_start()
        whole = self.data is not None and self.data.specs["test"].target != "person"
        if whole and self.tested.spec.pose is None:
            raise BolidError("nothing finds people in whole photos: set model.probe.pose, or data.test.target: person")
        self.tested.reset()

    def test_step(self, batch: TrainingBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Encodes photos of test people (loader 0) and of training people (loader 1)."""
        self.tested.add(self.model, self.backbone, batch, training=dataloader_idx > 0)

    def on_test_epoch_end(self) -> None:
        """Fits the probes on the samples of all ranks, and logs every metric as test/<name>."""
        families = {} if self.data is None else self.data.families("test")
        found = self.measure(self.tested.seen(self.model, families))
        self.log_dict({f"test/{name}": value for name, value in found.metrics.items()})

    def measure(self, seen: Seen) -> Report:
        """The metrics of a test."""
        return self.tested.measure(seen)

    def report(self) -> Report:
        """The report of the test."""
        return self.tested.report

    @torch.no_grad()
    def _track_mean(self, mean: Tensor) -> None:
        """Updates the mean of c_body over training people, for centred cosines: first plain, then moving."""
        if mean.isfinite().all():
            self.model.mean_code.lerp_(mean.float().mean(0), max(0.01, 1 / (self.global_step + 1)))

    def export(self, folder: Path) -> None:
        """Writes the encoder as a diffusers-style folder."""
        self.model.encoder().save_pretrained(folder)


def same(one: object, other: object) -> bool:
    """Whether two settings are equal; JSON turns tuples into lists."""
    return (list(one) if isinstance(one, tuple) else one) == (list(other) if isinstance(other, tuple) else other)
