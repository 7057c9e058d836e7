"""Pose error of generated images against the photo whose caption is the prompt."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision, numbered
from bolid.metrics.interval import PersonScores
from bolid.models.gaussian import SEEN
from bolid.vision.pose import PoseNetwork
from bolid.vision.yolo import import_ultralytics

BODY = slice(5, 17)  # shoulders to ankles, COCO's numbers
FILLED = 0.53  # person's area as a share of its box, as in COCO
NEEDS = "known body points"


class PoseError(ImageMetric):
    """Mean distance of the 12 body points to the photo's, in heights of the person, and their OKS.

    Only points visible in the photo count. Images without a detected person have an object keypoint similarity of 0 and
    no distance.

    Args:
        pose: Pose network.
    """

    describes = {
        "pose_error": Description("mean distance of 12 body points, in heights of the person", "lower", needs=NEEDS),
        "oks": Description("object keypoint similarity, 0 to 1", "higher", needs=NEEDS),
    }
    higher_is_better = None
    distances: list[Tensor]
    similarities: list[Tensor]
    people: list[Tensor]

    def __init__(self, pose: PoseNetwork) -> None:
        super().__init__()
        self.pose = pose
        self.add_rows("distances")  # NaN without a detected person
        self.add_rows("similarities")
        self.add_rows("people", dtype=torch.int64)

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds images (B, 3, H, W) in 0..1, compared with the batch's keypoints, in pixels of H x W."""
        found = self.pose(images)
        ours, truth = found.keypoints[:, BODY], batch.keypoints[:, BODY]  # (B, 12, 3)
        seen = truth[..., 2] > SEEN
        visible = seen.any(1)  # photos without visible points do not count
        size = extent(batch.keypoints)  # (B, 2)
        away = (ours[..., :2] - truth[..., :2]).norm(dim=-1) / size[:, 1:]  # (B, 12)
        distance = (away * seen).sum(1) / seen.sum(1).clamp_min(1)
        undetected = found.score < self.pose.min_score
        self.distances.append(distance.masked_fill(undetected, torch.nan)[visible])
        self.similarities.append(keypoint_similarity(ours, truth, size.prod(1)).masked_fill(undetected, 0.0)[visible])
        self.people.append(numbered(batch.identities).to(distance.device)[visible])

    def compute(self) -> dict[str, Tensor]:
        """`pose_error` in heights of the person, 0 is best; `oks` in 0..1, 1 is best."""
        distances, similarities = dim_zero_cat(self.distances), dim_zero_cat(self.similarities)
        return {"pose_error": distances.nanmean(), "oks": similarities.mean()}

    def person_scores(self) -> dict[str, PersonScores]:
        """See `ImageMetric`."""
        with self.sync_context():
            people, distances = dim_zero_cat(self.people), dim_zero_cat(self.distances)
            known = distances.isfinite()
            return {
                "pose_error": PersonScores(distances[known], people[known]),
                "oks": PersonScores(dim_zero_cat(self.similarities), people),
            }


def extent(keypoints: Tensor) -> Tensor:
    """Width and height in pixels of the box around the visible points, at least 1: (B, 17, 3) -> (B, 2)."""
    seen = keypoints[..., 2:] > SEEN
    places = keypoints[..., :2]
    low, high = torch.where(seen, places, torch.inf).amin(1), torch.where(seen, places, -torch.inf).amax(1)
    return (high - low).nan_to_num(1.0, 1.0, 1.0).clamp_min(1.0)


def keypoint_similarity(ours: Tensor, truth: Tensor, area: Tensor) -> Tensor:
    """COCO's OKS of the 12 body points, (B, 12, 3) each, for box areas (B,): (B,) in 0..1."""
    import_ultralytics()
    from ultralytics.utils.metrics import OKS_SIGMA, kpt_iou

    rows = [
        kpt_iou(t[None], o[None], FILLED * a[None], OKS_SIGMA[BODY])[0, 0]
        for o, t, a in zip(ours.cpu(), truth.cpu(), area.cpu(), strict=True)
    ]
    return torch.stack(rows).to(ours.device)
