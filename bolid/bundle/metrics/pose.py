"""Average precision of a pose network, as ultralytics computes it."""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from bolid.core.boxes import silhouette_boxes
from bolid.core.errors import BolidError
from bolid.core.schema import TrainingBatch
from bolid.metrics.base import Description, ImageMetric, full_precision
from bolid.metrics.pose_error import FILLED
from bolid.vision.pose import PoseEstimator
from bolid.vision.yolo import import_ultralytics

HIT = 0.5  # least IoU of boxes, and least object keypoint similarity, of the mAP50
# What ultralytics validates with: nearly every detection counts, and boxes that overlap more are of one person.
MIN_SCORE, OVERLAP = 0.001, 0.7


class PoseMAP50(ImageMetric):
    """Area under the precision-recall curve of a pose network's boxes and keypoints on photos of one person each.

    Photos whose silhouette, and with it the true box, is unknown do not count.

    Args:
        pose: Pose network to evaluate.
    """

    describes = {"map50": Description("0 to 1", "higher")}
    higher_is_better = True
    found: list[Tensor]  # of (n, 3): confidence, whether the box hits, whether the keypoints do
    people: Tensor

    def __init__(self, pose: PoseEstimator) -> None:
        super().__init__()
        self.pose = pose
        self.add_rows("found", 3)
        self.add_sum("people")

    @full_precision
    def update(self, images: Tensor, batch: TrainingBatch) -> None:
        """Adds photos (B, 3, H, W) in 0..1 with the batch's keypoints and silhouettes."""
        import_ultralytics()
        from ultralytics.utils.nms import non_max_suppression

        known = batch.silhouette_known
        centre, extent = silhouette_boxes(batch.silhouettes[known]).split(2, 1)
        size = extent.new_tensor([images.shape[-1], images.shape[-2]])
        boxes = torch.cat([centre - extent / 2, centre + extent / 2], 1) * size.repeat(2)  # (B, 4) corners in pixels
        candidates = self.pose.candidates(images[known])
        detections = non_max_suppression(candidates, MIN_SCORE, OVERLAP, nc=1, max_time_img=inf)
        for found, box, keypoints in zip(detections, boxes, batch.keypoints[known], strict=True):
            self.found.append(hits(found, box, keypoints))
        self.people += known.sum()

    def compute(self) -> dict[str, Tensor]:
        """`map50/box` and `map50/keypoints`, each in 0..1."""
        if not self.people:
            raise BolidError("PoseMAP50 needs photos whose silhouettes are known, and the data set has none")
        import_ultralytics()
        from ultralytics.utils.metrics import ap_per_class

        confidence, *hit = dim_zero_cat(self.found).cpu().unbind(1)
        person, people = torch.zeros(len(confidence)), torch.zeros(int(self.people))  # of class 0, all of them
        outcome = ap_per_class(torch.stack(hit, 1).numpy(), *(x.numpy() for x in (confidence, person, people)))
        (precisions,) = torch.from_numpy(outcome[5]).float()  # ultralytics calls it `ap`, (classes, hits)
        return dict(zip(("map50/box", "map50/keypoints"), precisions, strict=True))


def hits(found: Tensor, box: Tensor, keypoints: Tensor) -> Tensor:
    """Detections that hit the person; of several only the first.

    Args:
        found: (n, 57) corners, confidence, class and keypoints in pixels, in order of falling confidence.
        box: (4,) the person's.
        keypoints: (17, 3) the person's.

    Returns:
        (n, 3) confidence, and 1 or 0 for the box and for the keypoints.
    """
    import_ultralytics()
    from ultralytics.utils.metrics import OKS_SIGMA, box_iou, kpt_iou

    area = FILLED * (box[2:] - box[:2]).prod()
    overlap = box_iou(box[None], found[:, :4])[0]  # (n,)
    similarity = kpt_iou(keypoints[None], found[:, 6:].unflatten(1, (17, 3)), area[None], OKS_SIGMA)[0]
    hit = torch.stack([overlap, similarity], 1) >= HIT  # (n, 2)
    first = hit & (hit.cumsum(0) == 1)
    return torch.cat([found[:, 4:5], first.to(found.dtype)], 1)
