"""How much of the body's shape c_body holds, read off it by a linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score

from bolid.metrics.looks import VIEWS, Looks, posterior
from bolid.models.body_vae import BodyVAE
from bolid.synthetic.measures import RATIOS, SHAPE, Body, standardise

PENALTIES = np.logspace(-2, 5, 15)


def shape_scores(model: BodyVAE, train: Looks, test: Looks, bodies: Mapping[str, Body]) -> dict[str, float]:
    """What a linear probe reads off c_body of `VIEWS` photos, see `shape_report`."""
    codes, truth = codes_and_shapes(model, test, bodies, (0, VIEWS))
    return shape_report(truth, shape_probe(model, train, bodies).predict(codes))


def shape_report(truth: np.ndarray, read: np.ndarray) -> dict[str, float]:
    """`shape_r2/<ratio>` of readings (P, 7) of the truth (P, 7), and `shape_r2`, the mean over `SHAPE`."""
    scores = dict(zip(RATIOS, r2_score(truth, read, multioutput="raw_values"), strict=True))
    return {f"shape_r2/{name}": float(v) for name, v in scores.items()} | {
        "shape_r2": float(np.mean([scores[name] for name in SHAPE]))
    }


def codes_and_shapes(
    model: BodyVAE, looks: Looks, bodies: Mapping[str, Body], starts: Sequence[int] = (0,)
) -> tuple[np.ndarray, np.ndarray]:
    """c_body (P, d) of people's sets of photos from the `starts` on, and the true proportions (P, 7)."""
    people, sets = zip(*(pair for start in starts for pair in looks.sets(start).items()), strict=True)
    return posterior(model, looks, sets).mean.numpy(), standardise([bodies[who] for who in people]).numpy()


def shape_probe(model: BodyVAE, train: Looks, bodies: Mapping[str, Body]) -> RidgeCV:
    """Reads the proportions (P, 7), in within-gender standard deviations, off codes (P, d)."""
    return RidgeCV(PENALTIES).fit(*codes_and_shapes(model, train, bodies))
