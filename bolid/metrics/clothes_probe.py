"""Probe for clothes in c_body: how well the shirt's colour is predictable."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bolid.metrics.base import Description
from bolid.metrics.probe import FEWEST, Measured, Probe, Seen


class ClothesProbe(Probe):
    """Accuracy of a linear probe of an attribute on c_body of single photos, minus that of the most frequent class.

    Args:
        attribute: Key of `ImageRecord.attributes`; photos without it do not count.
    """

    describes = {
        "clothes_leak": Description(
            "how much better than by guessing a linear probe reads the shirt's colour off samples of c_body, and off "
            "its `mean`; 0 to 1",
            "lower",
        )
    }

    def __init__(self, attribute: str = "shirt") -> None:
        self.attribute = attribute

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`."""
        assert seen.train is not None
        ours, theirs = ([a.get(self.attribute, "") for a in looks.attributes] for looks in (seen.train, seen.test))
        known = [sum(map(bool, labels)) for labels in (ours, theirs)]
        if min(known) < FEWEST:
            return self.left_out(
                f"the {self.attribute} is known of {known[0]} training photos and {known[1]} test photos, and it takes "
                f"{FEWEST} of each"
            )
        if len({label for label in ours if label}) < 2:
            return self.left_out(f"the {self.attribute} is of one kind in all training photos")
        scores = {}
        for name, sample in (("clothes_leak", True), ("clothes_leak/mean", False)):
            train, test = seen.codes(sample)
            scores[name] = excess_accuracy(train, ours, test, theirs)
        return Measured(scores)


def excess_accuracy(train: np.ndarray, ours: Sequence[str], test: np.ndarray, theirs: Sequence[str]) -> float:
    """Accuracy of a linear probe minus that of the most frequent training label.

    Args:
        train: Codes (N, d) of training people.
        ours: N labels, empty if unknown.
        test: Codes (M, d) of test people.
        theirs: M labels, empty if unknown.
    """
    said, truth = np.array(ours), np.array(theirs)
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train[said != ""], said[said != ""])
    names, counts = np.unique(said[said != ""], return_counts=True)
    known = truth[truth != ""]
    chance = (known == names[counts.argmax()]).mean()
    return float((probe.predict(test[truth != ""]) == known).mean() - chance)
