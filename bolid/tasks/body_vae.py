"""Stage 1: trains Γ_body to draw a held-out photo of a person from views of the others."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from bolid.core.errors import BolidError
from bolid.core.ranks import gather
from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import Report, read_metric
from bolid.losses.contrastive import info_nce
from bolid.losses.limbs import limb_error
from bolid.losses.reconstruction import gaussian_nll, mse_by_scale, weighted_mse
from bolid.metrics.body_probe import body_report
from bolid.metrics.looks import Looks
from bolid.models.augment import ViewAugment
from bolid.models.backbones import Backbone
from bolid.models.body_vae import BodyVAE, Posterior, load_body_vae, smaller
from bolid.models.crop import crop_to_person
from bolid.models.gaussian import gaussian_weight
from bolid.models.window import cut, has_trunk
from bolid.synthetic.measures import Body, read_bodies
from bolid.tasks.base import BaseTask
from bolid.vision.pose import PoseEstimator


class BodyVAETask(BaseTask):
    """−log p(photo, outlines, limbs | c, pose, caption) + β·KL + contrast·InfoNCE + consistency·J, c ~ q(c | others).

    J is the divergence of what a photo tells of the person from what the same one in another outfit tells, where each
    may be mirrored.

    Args:
        model: Encoder and decoder.
        backbone: Whose text encoder reads the captions for the decoder.
        beta: Weight of the KL term once warmed up.
        beta_warmup: Steps over which β rises from zero.
        contrast: Weight of InfoNCE between the references and the held-out photo.
        consistency: Weight of J; it needs `data.outfits: 2` and `data.other_outfits: true`. Photos of real people have
            no such pairs: set it to 0.
        picture_dims: Independent values in a picture (see `gaussian_nll`).
        silhouette_dims: Independent values in a silhouette, at each scale (see `mse_by_scale`); 0: none is drawn.
        trunk_dims: The same of the silhouette along the trunk, where girths are; cheap, so all samples' are drawn.
        limb_dims: The same of the lengths of limbs against the average body's, see `limb_error`; 0: they are not asked
            for, as where that pose is made up (photos of real people).
        drawn: Samples of a batch, the first ones, whose photos are drawn whole and compared with another outfit; null:
            all. These cost as much as all else, which learns more from many people.
        told_pose: What the decoder is told of the held-out photo's pose: on the `average` body, or the person's `own`
            keypoints, which tell most of the body's shape themselves, and limbs' lengths in full: set `limb_dims: 0`.
        told_caption: Whether the decoder is told the caption, so that the code need not hold clothes and background.
            `data.caption_dropout` is to leave out the body, gender and hair, which the code is to hold.
        augment: What the references look like in training; null: as they are.
        people: Folder of rendered people, whose true proportions a test's probes are told; null for photos.
        supervised: report.json of a `SupervisedBodyTask` tested on the same people, for `shape_r2_ratio`.
        pose: Finds people and keypoints for tests, as photos of users are read (then set data.test_target to frame);
            null: those of the data are taken.
        exported: Folder of an encoder to test, such as `data/tiny/body_vae`; null: of the checkpoint's weights.
        kwargs: See `BaseTask`.

    Raises:
        BolidError: If the decoder reads caption features of another size than the backbone's, or nobody is drawn.
    """

    trained_buffers = ("model.mean_code",)

    def __init__(
        self,
        model: BodyVAE,
        backbone: Backbone,
        beta: float = 1.0,
        beta_warmup: int = 500,
        contrast: float = 10.0,
        consistency: float = 0.0,
        picture_dims: float = 500.0,
        silhouette_dims: float = 250.0,
        trunk_dims: float = 250.0,
        limb_dims: float = 1000.0,
        drawn: int | None = None,
        told_pose: Literal["average", "own"] = "average",
        told_caption: bool = True,
        augment: ViewAugment | None = None,
        people: Path | None = None,
        supervised: Path | None = None,
        pose: PoseEstimator | None = None,
        exported: Path | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if model.config.text_dim != backbone.text_dim:
            raise BolidError(
                f"the decoder reads {model.config.text_dim} numbers a caption, but {backbone.path} gives "
                f"{backbone.text_dim}: set the model's text_dim to {backbone.text_dim}"
            )
        if drawn is not None and drawn < 1:
            raise BolidError(f"drawn is {drawn}: draw at least one sample of a batch, or null for all")
        self.model, self.backbone = model, backbone
        self.beta, self.beta_warmup, self.contrast, self.consistency = beta, beta_warmup, contrast, consistency
        self.drawn, self.told_pose, self.told_caption = drawn, told_pose, told_caption
        self.augment = augment
        self.people, self.supervised, self.pose, self.exported = people, supervised, pose, exported
        self.looks: list[list[Looks]] = [[], []]  # of a test: people who are tested, and people of the training
        self.measured: dict[str, float] = {}
        self.tested = 0
        self.bodies: Mapping[str, Body] | None = None
        self.ceiling: float | None = None
        self.picture_dims, self.silhouette_dims = picture_dims, silhouette_dims
        self.trunk_dims, self.limb_dims = trunk_dims, limb_dims

    def on_fit_start(self) -> None:
        """Refuses a term that the data do not feed.

        Raises:
            BolidError: If nobody is shown in another outfit.
        """
        super().on_fit_start()
        if self.consistency and not self.of_data("shows_outfits", True):
            raise BolidError(
                "consistency compares photos with the same ones in another outfit, and there are none: render people "
                "with data.outfits: 2 and data.other_outfits: true, or set consistency: 0"
            )

    def training_step(self, batch: TrainingBatch, batch_idx: int) -> Tensor:
        """Call, loss, log, return."""
        generator = self.step_generator()
        batch = self.augmented(batch, generator)
        posterior = self._encode(batch)
        terms = self.losses(batch, posterior, generator)
        loss = self.total(terms, min(1.0, (self.global_step + 1) / max(1, self.beta_warmup)))
        self.log_dict({f"train/{k}": v for k, v in terms.items()} | {"train/loss": loss})
        self._track_mean(posterior.mean)
        return loss

    def validation_step(self, batch: TrainingBatch, batch_idx: int) -> None:
        """The same terms with noise that depends only on the batch's number."""
        terms = self.losses(batch, self._encode(batch), self.generator(0, batch_idx))
        logged = {f"val/{k}": v for k, v in terms.items()} | {"val/loss": self.total(terms)}
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

    def total(self, terms: dict[str, Tensor], warm: float = 1.0) -> Tensor:
        """The loss: scalar; `warm` in 0..1 is how far β has risen."""
        same = self.beta * terms["kl"] + self.consistency * terms["consistency"]  # least where all have one code
        told = terms["picture"] + terms["silhouette"] + terms["trunk"] + terms["limbs"]
        return told + self.contrast * terms["contrast"] + warm * same

    def _encode(self, batch: TrainingBatch) -> Posterior:
        return self.model.encode(batch.references.pictures, batch.references.keypoints, batch.references.mask)

    def losses(self, batch: TrainingBatch, posterior: Posterior, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms, each a scalar in nats a sample: `drawing_losses`, trunk, limbs, kl, contrast, consistency."""
        code = posterior.sample(generator)
        held_out = self.model.encode(
            batch.pictures[:, None], batch.keypoints_found[:, None], torch.ones_like(batch.references.mask[:, :1])
        )
        pose = batch.keypoints if self.told_pose == "own" else batch.keypoints_canonical
        text = self.backbone.text_features(batch.captions) * self.told_caption
        limbs = limb_error(self.model.decoder.lengths(code), pose, batch.keypoints)
        few = slice(self.drawn)
        told = Posterior(held_out.mean[few], held_out.logvar[few])
        return self.drawing_losses(batch[few], code[few], pose[few], text[few]) | {
            "trunk": self.outline_loss(batch, code, pose, text),
            "limbs": gaussian_nll(*limbs, dims=self.limb_dims),
            "kl": posterior.kl().mean(),
            "contrast": info_nce(code, held_out.sample(generator), batch.identities),
            "consistency": self.outfit_divergence(batch[few], told),
        }

    def drawing_losses(self, batch: TrainingBatch, code: Tensor, pose: Tensor, text: Tensor) -> dict[str, Tensor]:
        """−log p(photo | c, pose, caption) and of its silhouette: scalars in nats a sample."""
        shrink = self.model.config.shrink
        pictures, silhouettes = (F.avg_pool2d(truth, shrink) for truth in (batch.pictures, batch.silhouettes))
        drawn = self.model.decode(code, smaller(pose, shrink), text)
        weight = gaussian_weight(smaller(batch.keypoints, shrink), pictures.shape[-2:], self.model.config.sigma)
        picture = weighted_mse(drawn.picture, pictures, weight)
        outlines = mse_by_scale(drawn.silhouette, silhouettes)  # (scales, B)
        told = [gaussian_nll(e, batch.silhouette_known, self.silhouette_dims) for e in outlines]
        return {"picture": gaussian_nll(picture, dims=self.picture_dims), "silhouette": torch.stack(told).sum()}

    def outline_loss(self, batch: TrainingBatch, code: Tensor, pose: Tensor, text: Tensor) -> Tensor:
        """−log p(outline of the trunk | c, pose, caption): a scalar in nats a sample."""
        shrink = self.model.config.shrink  # the window's pixels are larger than the crop's: what it samples is a mean
        outline = cut(F.avg_pool2d(batch.silhouettes, shrink), smaller(batch.keypoints, shrink))
        claimed = self.model.decoder.outline(code, pose, text, batch.silhouettes.shape[-2])
        known = has_trunk(batch.keypoints) & batch.silhouette_known
        return gaussian_nll((claimed - outline).square().mean((1, 2, 3)), known, self.trunk_dims)

    def outfit_divergence(self, batch: TrainingBatch, held_out: Posterior) -> Tensor:
        """J, the mean over the samples that show another outfit: scalar; 0 if it does not count."""
        shown = batch.outfit.mask.any(1)
        if not (self.consistency and shown.any()):
            return held_out.mean.new_zeros(())
        other = self.model.encode(batch.outfit.pictures, batch.outfit.keypoints, batch.outfit.mask)
        return held_out.divergence(other)[shown].mean()

    def on_test_start(self) -> None:
        """A new test starts afresh.

        Raises:
            BolidError: If photos are shown whole and nobody finds the people in them.
        """
        super().on_test_start()
        if self.pose is None and self.of_data("test_target", "person") != "person":
            raise BolidError("nobody finds people in whole photos: set the task's pose, or data.test_target: person")
        if len(self.of_data("test_splits", ("test", "train"))) < 2:
            raise BolidError("probes are fitted on people of the training: set data.test_splits to [test, train]")
        if self.exported is not None:
            self.model = load_body_vae(str(self.exported)).to(self.device).eval()
        self.looks, self.tested = [[], []], 0
        self.bodies = None if self.people is None else read_bodies(self.people)
        self.ceiling = None if self.supervised is None else read_metric(self.supervised, "shape_r2")

    def test_step(self, batch: TrainingBatch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Looks at photos of people who are tested (loader 0) and of the training's (loader 1)."""
        pictures, keypoints = batch.pictures, batch.keypoints
        if self.pose is not None:
            found = self.pose.estimate(pictures * 0.5 + 0.5)
            size = tuple(self.model.config.size)
            pictures, keypoints = crop_to_person(pictures, found.keypoints, found.box, size)
        with torch.autocast(self.device.type, enabled=False):
            features, weight = self.model.look(pictures, keypoints)
            text = self.backbone.text_features(batch.full_captions).float()
        seen = (features.cpu(), weight.cpu(), batch.keypoints_canonical.cpu(), text.cpu())
        self.looks[dataloader_idx].append(Looks(*seen, batch.identities, batch.full_captions, batch.file_names))

    def on_test_epoch_end(self) -> None:
        """Fits the probes on what all ranks saw, and logs every number as test/<name>."""
        test, train = (Looks.cat([look for looks in gather(part) for look in looks]) for part in self.looks)
        families = self.of_data("families", lambda split: {})("test")
        self.measured = self.measure(test, train, families)
        self.tested = len(test.names)
        self.log_dict({f"test/{name}": value for name, value in self.measured.items()})

    def measure(self, test: Looks, train: Looks, families: Mapping[str, Hashable]) -> dict[str, float]:
        """See `body_report`; with a `supervised` report `shape_r2_ratio` too."""
        found = body_report(self.model, train, test, self.bodies, families, self.seed)
        if self.ceiling is not None and self.ceiling > 0 and "shape_r2" in found:
            found["shape_r2_ratio"] = found["shape_r2"] / self.ceiling
        return found

    def report(self) -> Report:
        """What the test measured."""
        return Report(metrics=self.measured, pictures=self.tested, seed=self.seed)

    @torch.no_grad()
    def _track_mean(self, mean: Tensor) -> None:
        """c_body's mean over the training people, for centred cosines: of all steps at first, then a running one."""
        if mean.isfinite().all():
            self.model.mean_code.lerp_(mean.float().mean(0), max(0.01, 1 / (self.global_step + 1)))

    def export(self, folder: Path) -> None:
        """Writes the encoder as a diffusers-style folder."""
        self.model.encoder().save_pretrained(folder)
