"""Probe for pose in c_body: how well limb directions are predictable."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from torch import Tensor

from bolid.metrics.base import Description
from bolid.metrics.probe import FEWEST, PENALTIES, Measured, Probe, Seen

# Arms and legs: COCO indices of both ends.
LIMBS = {
    "left upper arm": (5, 7),
    "left forearm": (7, 9),
    "right upper arm": (6, 8),
    "right forearm": (8, 10),
    "left thigh": (11, 13),
    "left shin": (13, 15),
    "right thigh": (12, 14),
    "right shin": (14, 16),
}
STILL = 1e-6  # minimum standard deviation of directions to predict


class PoseProbe(Probe):
    """Mean over limbs of R², clipped at 0, of a linear probe of their directions on c_body of single photos.

    Limbs visible in too few photos are left out of the mean.
    """

    describes = {
        "pose_leak": Description(
            "share of the variance of limbs' directions that a linear probe reads off samples of c_body, and off its "
            "`mean`; 0 to 1",
            "lower",
        )
    }

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`."""
        assert seen.train is not None
        ours, theirs = seen.train.keypoints, seen.test.keypoints
        shown = [name for name, limb in LIMBS.items() if measurable(ours, limb) and measurable(theirs, limb)]
        if not shown:
            return self.left_out(f"no arm or leg moves in at least {FEWEST} photos of both training and test people")
        scores = {}
        for name, sample in (("pose_leak", True), ("pose_leak/mean", False)):
            train, test = seen.codes(sample)
            scores[name] = float(np.mean([explained(train, ours, test, theirs, LIMBS[limb]) for limb in shown]))
        missing = [name for name in LIMBS if name not in shown]
        few = f"`pose_leak` is of {len(shown)} of {len(LIMBS)} limbs; too few photos show the {', '.join(missing)}."
        return Measured(scores, [few] if missing else [])


def measurable(keypoints: Tensor, limb: tuple[int, int]) -> bool:
    """Whether enough photos show a limb in more than one direction."""
    along, _ = directions(keypoints, limb)
    return len(along) >= FEWEST and along.std(0).max() > STILL


def explained(train: np.ndarray, ours: Tensor, test: np.ndarray, theirs: Tensor, limb: tuple[int, int]) -> float:
    """R², clipped at 0, of a limb's directions on codes (M, d) by a probe fitted on codes (N, d)."""
    (taught, seen), (truth, truly) = directions(ours, limb), directions(theirs, limb)
    probe = RidgeCV(PENALTIES).fit(train[seen], taught)
    return max(0.0, float(r2_score(truth, probe.predict(test[truly]), multioutput="variance_weighted")))


def directions(keypoints: Tensor, limb: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine (n, 2) of a limb's angle in the image where both ends are visible, and that mask (N,)."""
    ends = keypoints[:, list(limb)].numpy()  # (N, 2, 3)
    seen: np.ndarray = np.all(ends[..., 2] > 0, axis=1)
    along = ends[seen, 1, :2] - ends[seen, 0, :2]
    return along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6), seen
