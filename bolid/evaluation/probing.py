"""Evaluation of body encoders: collects view features of photos, and fits probes on them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from bolid.core.errors import BolidError
from bolid.core.ranks import gather
from bolid.core.schema import TrainingBatch
from bolid.evaluation.results import Report, read_metric
from bolid.metrics.base import Description
from bolid.metrics.clothes_probe import ClothesProbe
from bolid.metrics.code_usage import CodeUsage
from bolid.metrics.looks import Looks
from bolid.metrics.pose_probe import PoseProbe
from bolid.metrics.prior_gain import PriorGain
from bolid.metrics.probe import Probe, Seen, measure
from bolid.metrics.retrieval import Retrieval
from bolid.metrics.shape_probe import ShapeProbe
from bolid.models.backbones import Backbone
from bolid.models.body_vae import BodyVAE
from bolid.models.crop import crop_to_person
from bolid.vision.pose import PoseNetwork

STANDARD: dict[str, Callable[[], Probe]] = {
    "retrieval": Retrieval,
    "usage": CodeUsage,
    "shape": ShapeProbe,
    "prior": PriorGain,
    "clothes": ClothesProbe,
    "pose": PoseProbe,
}
RATIO = {"shape_r2_ratio": Description("shape_r2 over that of an encoder taught the true proportions", "higher")}


@dataclass
class ProbeSpec:
    """Settings of a body encoder's test.

    Attributes:
        pose: Pose network that detects people and keypoints, as for photos of users (with data.test.target: frame);
            null to use those of the data.
        supervised: report.json of a `SupervisedBodyTask` tested on the same people, for `shape_r2_ratio`.
        probes: Further probes by name, or replacements of the standard ones (retrieval, usage, shape, prior, clothes,
            pose); null removes one.
    """

    pose: PoseNetwork | None = None
    supervised: Path | None = None
    probes: dict[str, Probe | None] | None = None

    def chosen(self) -> dict[str, Probe]:
        """The probes by name.

        Raises:
            BolidError: If null is given for an unknown probe.
        """
        given = self.probes or {}
        if unknown := sorted(name for name, probe in given.items() if probe is None and name not in STANDARD):
            raise BolidError(f"probes: there is no {unknown[0]!r} to leave out; there are {', '.join(STANDARD)}")
        found: dict[str, Probe | None] = {name: kind() for name, kind in STANDARD.items() if name not in given}
        return {name: probe for name, probe in (found | given).items() if probe is not None}


class EncoderTest:
    """Collects view features in a test, and computes the probes.

    Args:
        spec: Settings of the test.
        seed: Seed of everything random.
    """

    def __init__(self, spec: ProbeSpec, seed: int) -> None:
        self.spec, self.seed, self.probes = spec, seed, spec.chosen()
        self.ceiling: float | None = None
        self.looks: tuple[list[Looks], list[Looks]] = ([], [])  # of test people, and of training people
        self.report = Report({}, 0, seed)

    def reset(self) -> None:
        """Removes all features, and reads the report of `supervised`, which may be written after this object is made.

        Raises:
            BolidError: If that report cannot be read.
        """
        self.ceiling = None if self.spec.supervised is None else read_metric(self.spec.supervised, "shape_r2")
        self.looks, self.report = ([], []), Report({}, 0, self.seed)

    @torch.no_grad()
    def add(self, model: BodyVAE, backbone: Backbone, batch: TrainingBatch, training: bool) -> None:
        """Adds the view features of a batch's targets, of training people or of test people."""
        pictures, keypoints = batch.pictures, batch.keypoints
        if self.spec.pose is not None:
            found = self.spec.pose.estimate(pictures * 0.5 + 0.5)
            height, width = model.config.size
            pictures, keypoints = crop_to_person(pictures, found.keypoints, found.box, (height, width))
        with torch.autocast(pictures.device.type, enabled=False):
            features, weight = model.look(pictures, keypoints)
            text = backbone.text_features(batch.full_captions).float()
        proportions, keypoints = batch.references.proportions.cpu(), batch.keypoints_canonical.cpu()
        seen = Looks(
            features.cpu(), weight.cpu(), keypoints, text.cpu(), proportions,
            batch.identities, batch.full_asked, batch.file_names,
        )  # fmt: skip
        self.looks[training].append(seen)

    def seen(self, model: BodyVAE, families: Mapping[str, Hashable]) -> Seen:
        """The features of all ranks. Collective."""
        test, train = ([look for looks in gather(part) for look in looks] for part in self.looks)
        return Seen(model, Looks.cat(test), Looks.cat(train) if train else None, families, self.seed)

    def measure(self, seen: Seen) -> Report:
        """The metrics, and notes on those that cannot be computed."""
        found = measure(self.probes.values(), seen)
        if self.ceiling is not None and self.ceiling > 0 and "shape_r2" in found.values:
            found.values["shape_r2_ratio"] = found.values["shape_r2"] / self.ceiling
        described = {name: text for probe in self.probes.values() for name, text in probe.describes.items()} | RATIO
        self.report = Report(found.values, len(seen.test.names), self.seed, notes=found.notes, descriptions=described)
        return self.report
