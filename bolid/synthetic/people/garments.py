"""Clothes: surfaces that follow the body at a distance and end where a signed distance to their hem changes sign."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from bolid.synthetic.people.body import Posed, body
from bolid.synthetic.people.mesh import Piece, clip, grid_faces, normals, smoother

COLOURS = {
    "red": (0.78, 0.10, 0.12),
    "blue": (0.12, 0.25, 0.75),
    "green": (0.10, 0.50, 0.20),
    "black": (0.06, 0.06, 0.07),
    "white": (0.93, 0.93, 0.92),
    "yellow": (0.93, 0.78, 0.12),
    "purple": (0.45, 0.14, 0.58),
    "grey": (0.48, 0.49, 0.50),
    "orange": (0.93, 0.45, 0.08),
    "pink": (0.95, 0.55, 0.68),
    "brown": (0.38, 0.22, 0.12),
}
HEM = 0.012  # metres of skin still drawn inside a hem


@dataclass(frozen=True)
class Garment:
    """A piece of clothing.

    Attributes:
        words: Its words in captions.
        sleeve: Length along the arm: 0 shoulder, 1 elbow, 2 wrist; below 0 leaves the shoulder free.
        neck: Depth of the neckline in metres below the collar; it widens as it deepens.
        top: Upper end on the trunk, bottom: lower end; 0 hip joint, 1 knee, 2 ankle, negative above the hip
            (-1 is the base of the neck).
        thick: Distance from the skin in metres. `flare`: added towards the ankle.
        skirt: Below the hips it hangs as one tube down to `bottom`.
    """

    words: str
    sleeve: float | None = None
    neck: float = 0.0
    top: float = -1.5
    bottom: float = 0.0
    thick: float = 0.010
    flare: float = 0.0
    skirt: bool = False


TOPS = {
    "t-shirt": Garment("t-shirt", 0.62, 0.0, bottom=0.08, thick=0.013),
    "shirt": Garment("shirt", 1.9, -0.012, bottom=0.12, thick=0.014),
    "tank top": Garment("tank top", -0.06, 0.035, bottom=0.05, thick=0.009),
    "sweater": Garment("sweater", 1.93, -0.016, bottom=0.16, thick=0.024),
    "blouse": Garment("blouse", 1.2, 0.03, bottom=0.05, thick=0.011),
}
BOTTOMS = {
    "trousers": Garment("trousers", top=-0.28, bottom=2.0, thick=0.010, flare=0.012),
    "wide trousers": Garment("wide trousers", top=-0.28, bottom=2.02, thick=0.013, flare=0.045),
    "leggings": Garment("leggings", top=-0.28, bottom=1.9, thick=0.005),
    "shorts": Garment("shorts", top=-0.28, bottom=0.72, thick=0.014, flare=0.016),
    "skirt": Garment("skirt", top=-0.32, bottom=0.85, thick=0.012, skirt=True),
    "long skirt": Garment("long skirt", top=-0.32, bottom=1.75, thick=0.012, skirt=True),
}
DRESSES = {
    "dress": Garment("dress", 0.5, 0.03, bottom=0.95, thick=0.011, skirt=True),
    "coat": Garment("coat", 1.95, -0.014, bottom=1.05, thick=0.026, skirt=True),
}


@dataclass(frozen=True)
class Chart:
    """Coordinates of every vertex for clothes, measured on the average body; each (V,).

    Attributes:
        along_arm: 0 shoulder, 1 elbow, 2 wrist; `down`: -1 base of the neck, 0 hip joint, 1 knee, 2 ankle.
        below_collar: Metres below a collar that is lower in front. `aside`: metres from the middle. `arm`: 0..1.
    """

    along_arm: np.ndarray
    down: np.ndarray
    below_collar: np.ndarray
    aside: np.ndarray
    arm: np.ndarray


@functools.cache
def chart() -> Chart:
    """The chart of the body model."""
    model = body()
    z, joint = model.average[:, 2], model.joints
    levels = [joint[name][2] for name in ("foot.L", "lowerleg01.L", "upperleg01.L", "neck01")]
    down = np.interp(z, levels, [2, 1, 0, -1])
    down = down + np.maximum(levels[0] - z, 0) / 0.4  # soles lie below the ankle
    collar = levels[3] - 0.012 + 0.55 * (model.average[:, 1] + 0.01)
    points = np.abs(model.average * [1, 0, 0]) + model.average * [0, 1, 1]  # both arms onto the left one
    shoulder, elbow, wrist = (joint[f"{n}.L"] for n in ("upperarm01", "lowerarm01", "wrist"))
    upper, lower = elbow - shoulder, wrist - elbow
    first = (points - shoulder) @ upper / (upper @ upper)
    second = (points - elbow) @ lower / (lower @ lower)
    return Chart(np.where(second > 0, 1 + second, np.minimum(first, 1)), down, collar - z, points[:, 0], model.arm)


@functools.cache
def signed(garment: Garment) -> np.ndarray:
    """(V,) metres inside the garment's hem (positive) or outside (negative); not to be written to."""
    c = chart()
    bottom = min(garment.bottom, 0.15) if garment.skirt else garment.bottom
    inside = (bottom - c.down) * 0.38
    if garment.sleeve is None:
        return np.minimum(np.minimum(inside, (c.down - garment.top) * 0.54), 0.5 - c.arm)
    inside = np.where(c.arm > 0.5, 1.0, inside)
    # On the way to the arm the sleeve takes over from the trunk.
    sleeve = (garment.sleeve - c.along_arm) * 0.26
    inside = np.minimum(inside, np.where(c.arm > 0.3, sleeve, 1.0))
    neckline = c.below_collar - garment.neck
    if garment.neck > 0:  # a deep one is cut out of the middle; the shoulders stay covered
        aside = c.aside - 10 * np.maximum(-0.03 - c.below_collar, 0)  # ears are far out, too
        neckline = np.maximum(neckline, 0.8 * (aside - 0.078 - 0.4 * garment.neck))
    return np.minimum(inside, neckline)


@functools.cache
def _smoother(garment: Garment):
    chosen = signed(garment) > -0.03
    return smoother(body().adjacency, chosen)


def drape(garment: Garment, posed: Posed, normal: np.ndarray, colour: np.ndarray, extra: float = 0.0) -> Piece:
    """The garment on a posed body; `extra` metres over what is worn below it."""
    model, c, inside = body(), chart(), signed(garment)
    flare = garment.flare * np.clip(c.down - 0.2, 0, 2) / 1.8
    distance = garment.thick + extra + flare
    cloth = posed.vertices + normal * np.broadcast_to(distance, len(normal))[:, None]
    move = _smoother(garment)
    for _ in range(6 if garment.thick > 0.008 else 2):
        cloth = move @ cloth
    near = (inside[model.faces] > 0).any(1)
    return clip(cloth.astype(np.float32), model.faces[near], inside, np.tile(colour, (len(cloth), 1)))


def covered(garments: list[Garment]) -> np.ndarray:
    """(F,) faces of the body that lie well under clothes and need not be drawn."""
    under = np.max([signed(g) for g in garments], axis=0) > HEM
    return under[body().faces].all(1)


def hang(garment: Garment, posed: Posed, colour: np.ndarray, flare: float = 0.16) -> Piece:
    """The part of a skirt, dress or coat below the hips: hull slices of hips and legs that only widen downwards."""
    model, c = body(), chart()
    trunk = (c.arm < 0.2) & (c.down > -0.45)
    points = posed.vertices[trunk]
    start, end = max(garment.top, -0.30) if garment.sleeve is None else -0.12, garment.bottom
    floor = posed.vertices[model.leg > 0.5, 2].min()
    ring = trunk & (np.abs(c.down - start) < 0.03)
    hip = posed.vertices[ring, 2].mean()
    length = (hip - floor - 0.05) * np.interp(end, [0, 1, 2], [0.12, 0.52, 0.97])
    levels = np.linspace(hip, hip - length, 16)
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    rows: list[np.ndarray] = []
    for level in levels:
        near = points[np.abs(points[:, 2] - level) < 0.03]
        before = rows[-1] if rows else None
        now = (near[:, :2] @ direction.T).max(0) if len(near) > 10 or before is None else before
        # A hull's support function; cloth cannot come back in below what it hangs from.
        rows.append(now if before is None else np.maximum(now, before - 0.004))
    return _tube(np.stack(rows), levels, direction, garment, colour, flare)


def _tube(
    support: np.ndarray, levels: np.ndarray, direction: np.ndarray, garment: Garment, colour: np.ndarray, flare: float
) -> Piece:
    drop = (levels[0] - levels)[:, None]
    widened = support + garment.thick + 0.008 + flare * drop
    # From support function to outline: the vertex of direction i is where neighbouring tangents meet.
    step = 2 * np.pi / len(direction)
    slope = (np.roll(widened, -1, 1) - np.roll(widened, 1, 1)) / (2 * np.sin(step))
    tangent = np.stack([-direction[:, 1], direction[:, 0]], 1)
    outline = widened[..., None] * direction + slope[..., None] * tangent
    points = np.concatenate([outline, np.broadcast_to(levels[:, None, None], (*support.shape, 1))], -1)
    faces = grid_faces(len(levels), len(direction), closed=True)
    flat = points.reshape(-1, 3).astype(np.float32)
    folds = 1 - 0.06 * (np.arange(len(direction)) % 4 == 0)
    shade = np.broadcast_to(folds[None, :, None], (*support.shape, 1)).reshape(-1, 1)
    return Piece(flat, faces, np.tile(colour, (len(flat), 1)) * shade)


def shoes(posed: Posed, colour: np.ndarray) -> list[Piece]:
    """A shoe around each foot: its convex hull, a little larger."""
    model, pieces = body(), []
    for sign in (1, -1):
        mine = (chart().down > 1.97) & (model.arm < 0.1) & (model.average[:, 0] * sign > 0)
        foot = posed.vertices[mine]
        hull = ConvexHull(foot)
        used, faces = np.unique(hull.simplices, return_inverse=True)
        points, faces = foot[used], faces.reshape(hull.simplices.shape)
        outward = np.einsum(
            "ij,ij->i",
            hull.equations[:, :3],
            np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]),
        )
        faces[outward < 0] = faces[outward < 0][:, ::-1]
        points = points + normals(points, faces) * 0.007
        pieces.append(Piece(points, faces, np.tile(colour, (len(points), 1))))
    return pieces


def bare(garments: list[Garment]) -> np.ndarray:
    """(F,) faces of the body to draw: neither under clothes nor inside shoes."""
    c, faces = chart(), body().faces
    in_shoe = ((c.down > 2.0) & (c.arm < 0.1))[faces].all(1)
    return ~covered(garments) & ~in_shoe


def skin_normals(posed: Posed) -> np.ndarray:
    """(V, 3) normals of the whole body."""
    return normals(posed.vertices, body().faces)
