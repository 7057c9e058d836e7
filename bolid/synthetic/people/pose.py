"""Poses by name: mean joint angles and how much they may vary, all in degrees."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

from bolid.synthetic.people.body import Body

SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")


@dataclass(frozen=True)
class Arm:
    """Angles from the rest pose (upper arm 45 degrees down, elbow a little bent).

    Attributes:
        raised: Sideways and up; -35 hangs down, 45 is level. `forward`: up in front.
        twist: Of the upper arm about itself, positive turns the forearm up and in. `elbow`: more bent; -38 is straight.
    """

    raised: float = -33
    forward: float = 0
    twist: float = 0
    elbow: float = -18


@dataclass(frozen=True)
class Leg:
    """Angles from standing: `forward` at the hip, `out` to the side, `knee` bent, `foot` toes up."""

    forward: float = 0
    out: float = 0
    knee: float = 0
    foot: float = 0


@dataclass(frozen=True)
class Pose:
    """A named pose.

    Attributes:
        arms, legs: (one side, other side); which is left is drawn per photo.
        lean: Forward bend of the trunk. `pelvis`: forward tilt of the whole body.
        upright: The legs hang so that a skirt can. `seated`: on a box.
        spread: Standard deviation of every angle.
    """

    arms: tuple[Arm, Arm] = field(default=(Arm(), Arm()))
    legs: tuple[Leg, Leg] = field(default=(Leg(), Leg()))
    lean: float = 0
    pelvis: float = 0
    upright: bool = True
    seated: bool = False
    spread: float = 4


POSES: dict[str, Pose] = {
    "standing": Pose(),
    "walking": Pose(
        (Arm(-33, 24, 0, -5), Arm(-33, -20, 0, -15)),
        (Leg(-16, 0, 14, -4), Leg(24, 0, 6, 2)),
    ),
    "running": Pose(
        (Arm(-30, 38, 0, 42), Arm(-30, -36, 0, 40)),
        (Leg(-18, 0, 62, 12), Leg(46, 0, 48, 0)),
        lean=8,
        pelvis=8,
    ),
    "waving": Pose((Arm(48, 0, 75, 30), Arm())),
    "arms raised": Pose((Arm(98, 0, 20, -24), Arm(98, 0, 20, -24))),
    "arms spread": Pose((Arm(36, 0, 0, -30), Arm(36, 0, 0, -30))),
    "hands on hips": Pose((Arm(8, -12, -60, 28), Arm(8, -12, -60, 28)), spread=2),
    "reaching": Pose((Arm(-28, 78, 0, -30), Arm(-28, 78, 0, -30))),
    "pointing": Pose((Arm(40, 6, 0, -34), Arm())),
    "bending": Pose(lean=34, pelvis=12, legs=(Leg(12), Leg(12)), spread=3),
    "one leg": Pose(
        (Arm(22, 0, 0, -30), Arm(22, 0, 0, -30)),
        (Leg(72, 4, 88), Leg()),
    ),
    "sitting": Pose(
        (Arm(-30, 22, -8, 0), Arm(-30, 22, -8, 0)),
        (Leg(84, 4, 84), Leg(84, 4, 84)),
        upright=False,
        seated=True,
        spread=3,
    ),
    "crouching": Pose(
        (Arm(-22, 52, -10, -4), Arm(-22, 52, -10, -4)),
        (Leg(96, 14, 112, 22), Leg(96, 14, 112, 22)),
        lean=10,
        pelvis=14,
        upright=False,
        spread=3,
    ),
}
ODDS = dict.fromkeys(POSES, 1.0) | {"standing": 2.5, "walking": 1.6, "sitting": 1.4}
FRAMING_ODDS = {
    # Poses outside the frame must not be in the caption.
    "head and shoulders": {"standing": 6.0, "waving": 1.0, "arms raised": 0.7, "arms spread": 0.5},
    "upright": {"standing": 1.0, "walking": 1.0},
}


def draw_pose(name: str, rng: np.random.Generator, body: Body) -> np.ndarray:
    """(J, 3, 3) rotations about the world's axes: the pose with its natural variation, mirrored half of the time."""
    pose, spread = POSES[name], POSES[name].spread
    out = np.tile(np.eye(3, dtype=np.float32), (len(body.bone_index), 1, 1))
    sides = "LR" if rng.random() < 0.5 else "RL"
    for side, arm, leg in zip(sides, pose.arms, pose.legs, strict=True):
        _arm(out, body, side, arm, rng, spread)
        _leg(out, body, side, leg, rng, spread)
    bend = (pose.lean + rng.normal(0, 2.0)) / len(SPINE)
    twist, tilt = rng.normal(0, 5.0) / len(SPINE), rng.normal(0, 3.0) / len(SPINE)
    for bone in SPINE:
        out[body.bone_index[bone]] = _turn(bend, tilt, twist)
    neck = _turn(rng.normal(-pose.lean * 0.2, 2.5), rng.normal(0, 2.0), rng.normal(0, 6.0))
    for bone in ("neck02", "head"):
        out[body.bone_index[bone]] = neck
    out[body.bone_index["root"]] = _turn(pose.pelvis + rng.normal(0, 1.0), 0, 0)
    return out


def _turn(x: float, y: float, z: float) -> np.ndarray:
    return Rotation.from_euler("xyz", [x, y, z], degrees=True).as_matrix().astype(np.float32)


def _about(axis: np.ndarray, degrees: float) -> np.ndarray:
    return Rotation.from_rotvec(axis / np.linalg.norm(axis) * np.radians(degrees)).as_matrix().astype(np.float32)


def _arm(out: np.ndarray, body: Body, side: str, arm: Arm, rng: np.random.Generator, spread: float) -> None:
    raised, forward, twist, elbow = np.array([arm.raised, arm.forward, arm.twist, arm.elbow]) + rng.normal(0, spread, 4)
    sign = 1 if side == "L" else -1
    raised = max(raised, -38.0)  # further down and the hand enters the thigh
    joints = [body.joints[f"{name}.{side}"] for name in ("upperarm01", "lowerarm01", "wrist")]
    upper, fore = joints[1] - joints[0], joints[2] - joints[1]
    # Beyond level the shoulder girdle lifts too; without it the deltoid folds into the neck.
    girdle = 0.28 * max(raised - 30.0, 0.0)
    out[body.bone_index[f"clavicle.{side}"]] = _turn(0, -sign * girdle, 0)
    lift = _turn(0, -sign * (raised - girdle), 0)
    out[body.bone_index[f"upperarm01.{side}"]] = _turn(-forward, 0, 0) @ lift @ _about(upper, -sign * twist)
    out[body.bone_index[f"lowerarm01.{side}"]] = _about(np.cross(upper, fore), max(elbow, -38.0))


def _leg(out: np.ndarray, body: Body, side: str, leg: Leg, rng: np.random.Generator, spread: float) -> None:
    noise = rng.normal(0, spread * 0.5, 4) * [1, 0.5, 1, 0.5]
    forward, outward, knee, foot = np.array([leg.forward, leg.out, leg.knee, leg.foot]) + noise
    sign = 1 if side == "L" else -1
    # The rest pose straddles; 4 degrees inwards is how people stand.
    out[body.bone_index[f"upperleg01.{side}"]] = _turn(-forward, 0, 0) @ _turn(0, sign * (4.0 - outward), 0)
    out[body.bone_index[f"lowerleg01.{side}"]] = _turn(max(knee, 0.0), 0, 0)
    out[body.bone_index[f"foot.{side}"]] = _turn(-foot, 0, 0)
