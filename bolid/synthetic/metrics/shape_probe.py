"""Probes of shape in c_body for rendered people's proportions and for the build in captions."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr

from bolid.metrics import prior_gain, shape_probe
from bolid.metrics.base import Description
from bolid.metrics.probe import FEWEST, Measured, Probe, Seen
from bolid.metrics.shape_probe import ShapeProbe
from bolid.synthetic.measures import RATIOS, SHAPE
from bolid.synthetic.wording import BUILDS


class RatiosProbe(ShapeProbe):
    """See `ShapeProbe`; `shape_r2` is the mean over `SHAPE`."""

    names, scored = RATIOS, SHAPE


class BuildProbe(Probe):
    """Rank correlation of words for the build with a shape probe's predictions on the text prior's samples for them."""

    describes = {
        "prior_build_corr": Description(
            "rank correlation of captions' words for the build with bodies that a text prior takes from them", "higher"
        )
    }

    def __call__(self, seen: Seen) -> Measured:
        """See `Probe`."""
        assert seen.train is not None
        levels = {row: BUILDS.index(a["build"]) for row, a in enumerate(seen.test.attributes) if "build" in a}
        reason = shape_probe.unfit(seen) or prior_gain.unfit(seen.train, len(seen.model.mean_code))
        if not reason and len(levels) < FEWEST:
            reason = f"{len(levels)} test photos have a caption with a word for the build, and it takes {FEWEST}"
        if reason:
            return self.left_out(reason)
        bodies = prior_gain.train_prior(seen).sample(seen.test.text[list(levels)], seen.generator()).numpy()
        build = shape_probe.shape_probe(seen.model, seen.train).predict(bodies)[:, RATIOS.index("build")]
        if np.ptp(build) < 1e-6 or len(set(levels.values())) < 2:
            return self.left_out("words, or what is read off the samples, do not vary")
        return Measured({"prior_build_corr": float(spearmanr(list(levels.values()), build).statistic)})
