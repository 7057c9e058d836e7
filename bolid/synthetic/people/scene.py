"""Camera, framing, view, light and background: everything in a photo that is not the person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bolid.synthetic.wording import OUTDOOR

FIELD = np.radians(30.0)  # vertical field of view
VIEWS = {"front": (0, 14), "three-quarter": (28, 58), "side": (78, 102), "behind": (152, 180)}
VIEW_ODDS = {"full length": (0.40, 0.34, 0.13, 0.13), "three-quarter length": (0.45, 0.37, 0.08, 0.10)}
VIEW_ODDS |= {"head and shoulders": (0.55, 0.42, 0.03, 0.0), "upright": (0.54, 0.46, 0.0, 0.0)}
# Height of the image in metres at the person's distance.
SHOWN = {"full length": 2.24, "three-quarter length": 1.32, "head and shoulders": 0.60}
# Framings that take turns over a person's photos.
CYCLES = {
    # Any four neighbours hold two of full length and at least one of head and shoulders.
    "mixed": (
        "full length",
        "head and shoulders",
        "full length",
        "three-quarter length",
        "full length",
        "head and shoulders",
    ),
    "figure": ("upright", "full length", "upright", "three-quarter length"),
}

WALLS = {
    "white": (0.90, 0.90, 0.88),
    "grey": (0.58, 0.59, 0.61),
    "beige": (0.85, 0.77, 0.64),
    "light blue": (0.62, 0.76, 0.88),
    "green": (0.47, 0.62, 0.48),
    "pink": (0.90, 0.70, 0.72),
    "yellow": (0.92, 0.83, 0.50),
    "dark": (0.20, 0.21, 0.24),
}
FLOORS = ((0.55, 0.40, 0.28), (0.45, 0.45, 0.46), (0.72, 0.66, 0.58), (0.30, 0.28, 0.27))


@dataclass
class Scene:
    """A photo's surroundings.

    Attributes:
        framing, view: Names as in `SHOWN` and `VIEWS`.
        azimuth: Degrees the person is turned; `shown` metres of the world at the person in the image's height.
        height: Of the camera over its aim in metres. `sway`: (2,) the aim's shift right and up, in metres.
        background: A wall's colour, or a place out of doors. `striped`: the wall has stripes.
        floor: (3,) colour. `light`: (3,) unit vector towards the key light; `key`, `ambient` strengths.
        warmth: (3,) colour of the light. `noise`: seed of the background's texture.
    """

    framing: str
    view: str
    azimuth: float
    shown: float
    height: float
    sway: np.ndarray
    background: str
    striped: bool
    wall_distance: float
    floor: np.ndarray
    light: np.ndarray
    key: float
    ambient: float
    warmth: np.ndarray
    noise: int

    @property
    def outdoor(self) -> bool:
        """Whether there is a sky."""
        return self.background in OUTDOOR


@dataclass
class Camera:
    """A pinhole camera that looks along +y, up is z.

    Attributes:
        position: (3,) metres. `forward`, `right`, `up`: (3,) unit vectors.
    """

    position: np.ndarray
    forward: np.ndarray
    right: np.ndarray
    up: np.ndarray

    def project(self, points: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (N, 2), x right and y down with (0, 0) the corner, and depths (N,) in metres along the view."""
        offset = points - self.position
        depth = offset @ self.forward
        focal = height / 2 / np.tan(FIELD / 2)
        x = width / 2 + focal * (offset @ self.right) / depth
        y = height / 2 - focal * (offset @ self.up) / depth
        return np.stack([x, y], 1), depth

    def rays(self, height: int, width: int) -> np.ndarray:
        """(h, w, 3) directions through the pixels' centres, scaled so that depth along the view is 1."""
        focal = height / 2 / np.tan(FIELD / 2)
        x = ((np.arange(width) + 0.5 - width / 2) / focal).astype(np.float32)
        y = ((height / 2 - np.arange(height) - 0.5) / focal).astype(np.float32)
        directions = self.forward + x[None, :, None] * self.right + y[:, None, None] * self.up
        return directions.astype(np.float32)


def draw_scene(rng: np.random.Generator, framing: str) -> Scene:
    """A random scene for a framing, or for "upright": full length from the front or turned halfway at most."""
    view = str(rng.choice(list(VIEWS), p=VIEW_ODDS[framing]))
    framing = "full length" if framing == "upright" else framing
    low, high = VIEWS[view]
    places = [*WALLS, *OUTDOOR]
    background = places[rng.integers(len(places))]
    side, elevation = rng.uniform(-70, 70), rng.uniform(20, 60)
    turn, lift = np.radians([side, elevation])
    full = framing == "full length"
    warm = rng.normal(0, 0.03)
    return Scene(
        framing=framing,
        view=view,
        azimuth=float(rng.uniform(low, high) * rng.choice([-1, 1])),
        shown=SHOWN[framing] * rng.uniform(0.985, 1.015) * (1 if full else rng.uniform(0.94, 1.06)),
        height=float(rng.uniform(0.0, 0.3) if full else rng.uniform(-0.05, 0.15)),
        sway=rng.normal(0, 0.03, 2) * (1 if full else SHOWN[framing] / 2.2) * [1, 0.35],
        background=background,
        striped=background in WALLS and rng.random() < 0.2,
        wall_distance=float(rng.uniform(0.7, 1.6)),
        floor=np.array(FLOORS[rng.integers(len(FLOORS))]) * rng.uniform(0.85, 1.1),
        light=np.array([np.sin(turn) * np.cos(lift), -np.cos(turn) * np.cos(lift), np.sin(lift)]),
        key=float(rng.uniform(0.35, 0.6)),
        ambient=float(rng.uniform(0.42, 0.54)),
        warmth=np.array([1 + warm, 1.0, 1 - warm]),
        noise=int(rng.integers(2**31)),
    )


def aim_at(scene: Scene, keypoints: np.ndarray) -> np.ndarray:
    """(3,) what the camera looks at: a fixed point for full length, so that height shows; else the head or trunk."""
    if scene.framing == "full length":
        point = np.array([0, 0, 1.01])
    else:
        face, hips = keypoints[:5].mean(0), keypoints[11:13].mean(0)
        shoulders = keypoints[5:7].mean(0)
        if scene.framing == "head and shoulders":
            point = face * 0.75 + shoulders * 0.25
        else:
            point = face * 0.42 + hips * 0.58 + np.array([0, 0, 0.02])
    return point + np.array([scene.sway[0], 0, scene.sway[1]])


def place_camera(scene: Scene, aim: np.ndarray) -> Camera:
    """The camera of a scene that looks at `aim` (3,)."""
    distance = scene.shown / 2 / np.tan(FIELD / 2)
    position = aim + np.array([0, -distance, scene.height * distance / 4.2])
    forward = (aim - position) / np.linalg.norm(aim - position)
    right = np.array([1.0, 0, 0])
    return Camera(position, forward, right, np.cross(right, forward))
