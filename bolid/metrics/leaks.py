"""What c_body should not know, read off it by linear probes: clothes and pose."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from bolid.synthetic.metrics.shape_probe import PENALTIES
from bolid.synthetic.wording import attributes

LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16))  # arms and legs, COCO's numbers


def clothes_leak(train: np.ndarray, train_captions: list[str], test: np.ndarray, test_captions: list[str]) -> float:
    """How much better than by guessing the commonest a linear probe reads the shirt's colour off codes (N, d)."""
    (ours, said), (theirs, truth) = (
        with_colour(codes, captions) for codes, captions in ((train, train_captions), (test, test_captions))
    )
    if len(set(said)) < 2 or not len(truth):
        return float("nan")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(ours, said)
    names, counts = np.unique(said, return_counts=True)
    chance = (truth == names[counts.argmax()]).mean()
    return float((probe.predict(theirs) == truth).mean() - chance)


def with_colour(codes: np.ndarray, captions: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The codes (n, d) of captions that tell the shirt's colour, and the colours (n,)."""
    colours = [attributes(caption).get("shirt") for caption in captions]
    told = [row for row, colour in enumerate(colours) if colour]
    return codes[told], np.array([colours[row] for row in told])


def pose_leak(train: np.ndarray, train_pose: Tensor, test: np.ndarray, test_pose: Tensor) -> float:
    """Mean over limbs of R², at least 0, with which a linear probe reads their directions off codes (N, d)."""
    scores = []
    for limb in LIMBS:
        (ours, seen), (theirs, truly) = directions(train_pose, limb), directions(test_pose, limb)
        probe = RidgeCV(PENALTIES).fit(train[seen], ours)
        explained = r2_score(theirs, probe.predict(test[truly]), multioutput="variance_weighted")
        scores.append(max(0.0, float(explained)))
    return float(np.mean(scores))


def directions(keypoints: Tensor, limb: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine (n, 2) of a limb's angle in the picture where both its ends are seen, and where that is (N,)."""
    ends = keypoints[:, list(limb)].numpy()  # (N, 2, 3)
    seen: np.ndarray = np.all(ends[..., 2] > 0, axis=1)
    along = ends[seen, 1, :2] - ends[seen, 0, :2]
    return along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6), seen
