"""Renders floor, wall or sky behind a person by casting a ray per pixel."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from bolid.synthetic.people.scene import WALLS, Camera, Scene

GROUND = {"park": (0.30, 0.47, 0.18), "beach": (0.83, 0.74, 0.55), "street": (0.42, 0.42, 0.44)}
GROUND["field"] = (0.78, 0.63, 0.26)
SHADOW_CELL = 0.02  # metres
SHADOW_SPAN = 2.56


def draw_backdrop(
    scene: Scene, camera: Camera, height: int, width: int, person: np.ndarray, seat: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Colours (h, w, 3) in 0..1 and depths (h, w) in metres of everything but the person.

    Args:
        person: (N, 3) points that throw a shadow.
        seat: (2, 3) lower and upper corner of the box that is sat on, or None.
    """
    rays = camera.rays(height, width)
    rng = np.random.default_rng(scene.noise)
    down = np.where(rays[..., 2] < -1e-4, -camera.position[2] / np.minimum(rays[..., 2], -1e-4), np.inf)
    if scene.outdoor:
        far, rgb = np.full_like(down, 60.0), _sky(scene, camera, rays, rng)
    else:
        far = (camera.position[1] * -1 + scene.wall_distance) / rays[..., 1]
        rgb = _wall(scene, camera, rays, far)
    on_floor = down < far
    ground = camera.position[:2] + rays[..., :2] * np.where(on_floor, down, 0)[..., None]
    rgb = np.where(on_floor[..., None], _floor(scene, ground, person, rng), rgb)
    depth = np.minimum(down, far).astype(np.float32)
    if seat is not None:
        rgb, depth = _seat(scene, camera, rays, rgb, depth, seat)
    return np.clip(rgb, 0, 1).astype(np.float32), depth


def _wall(scene: Scene, camera: Camera, rays: np.ndarray, far: np.ndarray) -> np.ndarray:
    x = camera.position[0] + rays[..., 0] * far
    z = camera.position[2] + rays[..., 2] * far
    colour = np.array(WALLS[scene.background])
    # Brighter towards the lamp, darker towards the floor.
    shade = 0.93 + 0.07 * np.clip(scene.light[0] * x, -1, 1) + 0.03 * np.clip(z - 1, -1, 1)
    if scene.striped:
        shade = shade * np.where((x / 0.22 + 100.25) % 1 < 0.5, 1.0, 0.82)
    shade = np.where(z < 0.09, shade * 0.8, shade)
    return colour * shade[..., None] * scene.warmth


def _sky(scene: Scene, camera: Camera, rays: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    slope = rays[..., 2] / rays[..., 1]
    heading = rays[..., 0] / rays[..., 1]
    blend = np.clip(slope * 2.5, 0, 1)[..., None]
    sky = np.array([0.80, 0.87, 0.93]) * (1 - blend) + np.array([0.45, 0.65, 0.90]) * blend
    knots = np.linspace(-0.6, 0.6, 160)
    if scene.background == "beach":
        water = np.where((slope < 0.0)[..., None], np.array([0.15, 0.42, 0.60]), sky)
        return np.where((slope < -0.045)[..., None], np.array(GROUND["beach"]), water)
    if scene.background == "street":
        heights = np.repeat(rng.uniform(0.12, 0.42, 20), 2)
        tones = np.repeat(
            (rng.uniform(0.5, 0.8, (20, 1)) + rng.uniform(-0.06, 0.06, (20, 3))) * [1.0, 0.93, 0.86], 2, axis=0
        )
        at = np.clip(((heading + 0.6) / 1.2 * 40).astype(int), 0, 39)
        window = ((heading * 45) % 1 < 0.45) & ((slope * 38) % 1 < 0.5) & (slope > 0.03)
        house = tones[at] * np.where(window, 0.55, 1.0)[..., None]
        return np.where((slope < heights[at])[..., None], house, sky)
    middle, tall = rng.uniform(-0.7, 0.7, (2, 30)) * [[1.0], [0.12]] + [[0.0], [0.16]]
    crowns = (tall - 9 * (knots[:, None] - middle) ** 2).max(1).clip(0.05)
    crowns = crowns if scene.background == "park" else crowns * 0.12 + 0.02
    tree = np.array([0.13, 0.27, 0.11]) * (1 + 0.5 * np.clip(slope * 4, 0, 1))[..., None]
    return np.where((slope < np.interp(heading, knots, crowns))[..., None], tree, sky)


def _floor(scene: Scene, ground: np.ndarray, person: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    colour = np.array(GROUND[scene.background]) if scene.outdoor else scene.floor
    noise = gaussian_filter(rng.normal(0, 1, (64, 64)), 1.0, mode="wrap")
    cells = np.stack([ground[..., 1] * 12 % 64, ground[..., 0] * 12 % 64])
    texture = 1 + (0.10 if scene.outdoor else 0.04) * map_coordinates(noise, cells, order=1, mode="grid-wrap")
    return colour * (texture * (1 - 0.55 * _shadow(scene, ground, person)))[..., None] * scene.warmth


def _shadow(scene: Scene, ground: np.ndarray, person: np.ndarray) -> np.ndarray:
    """How dark the floor is, 0..1: the person's points thrown along the light onto a grid, then blurred."""
    steep = max(scene.light[2], 0.5)
    thrown = person[:, :2] - person[:, 2:] * scene.light[:2] / steep
    size = int(2 * SHADOW_SPAN / SHADOW_CELL)
    cell = np.floor((thrown + SHADOW_SPAN) / SHADOW_CELL).astype(int)
    cell = cell[((cell >= 0) & (cell < size)).all(1)]
    grid = np.zeros((size, size), np.float32)
    grid[cell[:, 1], cell[:, 0]] = 1
    contact = person[person[:, 2] < 0.12]
    near = np.floor((contact[:, :2] + SHADOW_SPAN) / SHADOW_CELL).astype(int).clip(0, size - 1)
    touch = np.zeros_like(grid)
    touch[near[:, 1], near[:, 0]] = 1
    dark = np.clip(gaussian_filter(grid, 2.2) * 1.6, 0, 0.75) + np.clip(gaussian_filter(touch, 2.0) * 1.5, 0, 0.6)
    at = (ground[..., ::-1] + SHADOW_SPAN) / SHADOW_CELL - 0.5
    return np.clip(map_coordinates(dark, [at[..., 0], at[..., 1]], order=1, mode="constant"), 0, 1)


def _seat(scene: Scene, camera: Camera, rays: np.ndarray, rgb: np.ndarray, depth: np.ndarray, seat: np.ndarray):
    """Slabs: a ray is inside the box between the last entry and the first exit."""
    safe = np.where(np.abs(rays) < 1e-6, 1e-6, rays)
    first, second = (seat[0] - camera.position) / safe, (seat[1] - camera.position) / safe
    enter_each = np.minimum(first, second)
    enter, leave = enter_each.max(-1), np.maximum(first, second).min(-1)
    hit = (enter < leave) & (enter > 0) & (enter < depth)
    brightness = np.array([0.62, 0.75, 0.95])[enter_each.argmax(-1)]
    wood = np.array([0.62, 0.47, 0.32]) * brightness[..., None]
    return np.where(hit[..., None], wood, rgb), np.where(hit, enter, depth)
