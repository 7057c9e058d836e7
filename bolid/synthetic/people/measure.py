"""Body measures on the rest mesh, and their deviations within a gender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from bolid.synthetic.measures import CALIBRATION
from bolid.synthetic.people.body import Rest, body


@dataclass(frozen=True)
class Measures:
    """Lengths and girths as ratios of stature, so that they mean the same at any camera distance.

    Attributes:
        stature: Metres; `bmi` kg per square metre at a density of 980 kg per cubic metre.
        waist, hip: Circumferences / stature.
        shoulder: Distance of the shoulder joints / stature.
        torso: Base of the neck to the hips' middle / stature.
        leg: Hip joint to sole / stature; `arm` shoulder to wrist / stature.
        build: Volume / stature cubed.
    """

    stature: float
    bmi: float
    waist: float
    hip: float
    shoulder: float
    torso: float
    leg: float
    arm: float
    build: float


def measure(rest: Rest) -> Measures:
    """Measures a body as `Body.rest` returns it."""
    import torch

    model = body()
    numbers = model.anthropometry(torch.from_numpy(rest.vertices)[None])
    stature, volume = float(numbers["height"]), float(numbers["volume"])
    joint = {name: rest.bones[model.bone_index[name], :3, 3] for name in model.bone_index}
    shoulders = np.linalg.norm(joint["upperarm01.L"] - joint["upperarm01.R"])
    hips = (joint["upperleg01.L"] + joint["upperleg01.R"]) / 2
    arm = np.linalg.norm(joint["upperarm01.L"] - joint["lowerarm01.L"])
    arm += np.linalg.norm(joint["lowerarm01.L"] - joint["wrist.L"])
    return Measures(
        stature=stature,
        bmi=float(numbers["bmi"]),
        waist=float(numbers["waist_circumference"]) / stature,
        hip=_hip_girth(rest.vertices) / stature,
        shoulder=float(shoulders) / stature,
        torso=float(joint["neck01"][2] - hips[2]) / stature,
        leg=float(hips[2] - rest.vertices[:, 2].min()) / stature,
        arm=float(arm) / stature,
        build=volume / stature**3,
    )


def _hip_girth(vertices: np.ndarray) -> float:
    """A tape around the buttocks: the hull of the vertices that lie there on the average body."""
    model = body()
    level = model.joints["upperleg01.L"][2] - 0.045
    near = (np.abs(model.average[:, 2] - level) < 0.02) & (model.arm < 0.1)
    return float(ConvexHull(vertices[near, :2]).area)  # in two dimensions `area` is the perimeter


def z_score(measures: Measures, name: str, gender: str) -> float:
    """Deviation of a measure from the mean of that gender, in standard deviations."""
    mean, deviation = CALIBRATION[gender][name]
    return (getattr(measures, name) - mean) / deviation
