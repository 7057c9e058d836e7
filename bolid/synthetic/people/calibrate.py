"""Measures what is average: prints the constants of `bolid.synthetic.measures.CALIBRATION`.

Run as `python -m bolid.synthetic.people.calibrate`. Caption words and the rejection of tails follow from these
constants, so changing them means a new RENDERER_VERSION and new photos.
"""

from __future__ import annotations

import sys

import numpy as np

from bolid.synthetic.measures import RATIOS
from bolid.synthetic.people import identity
from bolid.synthetic.people.body import body
from bolid.synthetic.people.measure import Measures, measure


def draw(gender: str, count: int, seed: int) -> list[Measures]:
    """Measures `count` people drawn without rejection."""
    rng = np.random.default_rng([seed, gender == "woman"])
    rows = []
    for _ in range(count):
        age = float(np.clip(0.67 + abs(rng.normal(0, 0.07)), 0.67, 0.9))
        changes = identity._changes(rng, face=True) | identity._changes(rng, face=False)
        rows.append(measure(body().rest(identity._phenotype(rng, gender, age), changes)))
    return rows


def main(count: int = 2000) -> None:
    """Prints the constants to paste."""
    for gender in ("woman", "man"):
        rows = draw(gender, count, seed=0)
        values = {name: np.array([getattr(r, name) for r in rows]) for name in ("stature", *RATIOS)}
        print(f'    "{gender}": {{')
        for name, column in values.items():
            print(f'        "{name}": ({column.mean():.5g}, {column.std():.4g}),')
        bmi = np.percentile([r.bmi for r in rows], [1, 5, 50, 95, 99]).round(1)
        stature = np.percentile(values["stature"], [1, 5, 50, 95, 99]).round(2)
        print(f"    }},  # BMI {bmi}, stature {stature}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
