"""A second person beside the one that a photo is of, so that a diffusion model learns images of two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bolid.core.schema import Phrase
from bolid.synthetic.people.body import Posed, body
from bolid.synthetic.people.captions import level
from bolid.synthetic.people.identity import Person, make_person
from bolid.synthetic.people.measure import z_score
from bolid.synthetic.people.outfit import Outfit, draw_outfit
from bolid.synthetic.people.pose import draw_pose
from bolid.synthetic.people.scene import Scene
from bolid.synthetic.wording import BUILD

FIRST, COUNT = 800_000, 20_000  # numbers of companions, who have no photos of their own
POSES = {"standing": 0.5, "waving": 0.15, "hands on hips": 0.2, "walking": 0.15}
APART = (0.6, 0.8)  # metres between the two, sideways


@dataclass
class Companion:
    """The second person in a photo.

    Attributes:
        person, outfit, pose: As of the photo's person; `rotations` of the joints.
        azimuth: Degrees that the companion is turned.
        offset: (2,) metres from the photo's person, right and away from the camera.
    """

    person: Person
    outfit: Outfit
    pose: str
    rotations: np.ndarray
    azimuth: float
    offset: np.ndarray

    @property
    def side(self) -> str:
        """The side of the image, left or right."""
        return "right" if self.offset[0] > 0 else "left"


def draw_companion(rng: np.random.Generator, scene: Scene, share: float) -> Companion | None:
    """A companion for a share (0..1) of scenes of full length; None for the others."""
    if rng.random() >= share or scene.framing != "full length":
        return None
    person = make_person(FIRST + int(rng.integers(COUNT)))
    pose = str(rng.choice(list(POSES), p=list(POSES.values())))
    offset = np.array([rng.choice([-1, 1]) * rng.uniform(*APART), rng.uniform(-0.1, 0.1)])
    outfit, azimuth = draw_outfit(rng, person.gender, True), float(rng.uniform(-35, 35))
    return Companion(person, outfit, pose, draw_pose(pose, rng, body()), azimuth, offset)


def between(scene: Scene, companion: Companion) -> Scene:
    """The scene as a camera sees it that looks between the two."""
    return replace(scene, sway=scene.sway + np.array([companion.offset[0] / 2, 0]))


def beside(posed: Posed, companion: Companion) -> Posed:
    """The companion's body, standing at the origin, moved beside the photo's person."""
    bones = posed.bones.copy()
    bones[:, :2, 3] += companion.offset
    return Posed(posed.vertices + np.array([*companion.offset, 0], np.float32), bones)


def describe_companion(companion: Companion) -> Phrase:
    """Such as "with a slim woman in a red shirt and blue jeans on the left"."""
    person = companion.person
    build = BUILD[level(z_score(person.measures, "build", person.gender))][0]
    build = "" if build.startswith("of") else f"{build} "  # "a slim woman", but "a woman" for the average
    return Phrase("companion", f"with a {build}{person.gender} in {companion.outfit.words} on the {companion.side}")
