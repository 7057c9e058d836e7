"""Surfaces of the head besides skin: hair in several styles, beard, brows, irises."""

from __future__ import annotations

import functools

import numpy as np

from bolid.synthetic.people.body import Posed, body
from bolid.synthetic.people.identity import Person
from bolid.synthetic.people.mesh import Piece, ball, clip, grid_faces, smoother

THICK = {"bald": 0.0, "very short": 0.005, "short": 0.016, "bob": 0.018, "long": 0.016, "bun": 0.010, "ponytail": 0.011}
THICK["curly"] = 0.040
# Where the hair begins: height over the average body's front-to-back axis, from forehead over the ears to the nape.
LINE_Y = (-0.17, -0.135, -0.105, -0.082, -0.066, -0.030, -0.018, 0.06)
LINE_Z = (0.800, 0.796, 0.786, 0.765, 0.738, 0.742, 0.690, 0.672)
CUT = 0.006


@functools.cache
def _scalp() -> np.ndarray:
    """(V,) metres inside the hairline."""
    model = body()
    x, y, z = model.average.T
    inside = z - np.interp(y, LINE_Y, LINE_Z)
    ear = (model.painted("mpfb_ears.jpg") > 0.3) & (np.abs(x) > 0.068)
    return np.where((model.head + model.neck > 0.6) & ~ear, inside, -0.05)


@functools.cache
def _jaw() -> np.ndarray:
    """(V,) metres inside a short beard."""
    model = body()
    x, y, z = model.average.T
    cheek = np.interp(np.abs(x), [0, 0.02, 0.03, 0.05, 0.07], [0.678, 0.678, 0.668, 0.678, 0.725]) - z
    mouth = np.hypot(x / 0.028, (z - 0.6625) / 0.0135) - 1
    inside = np.minimum(np.minimum(cheek, mouth * 0.013), np.minimum(-0.055 - y, z - 0.612))
    return np.where((model.head > 0.5) & (model.lips < 0.4), inside, -0.05)


@functools.cache
def _brow() -> np.ndarray:
    model = body()
    x, y, z = model.average.T
    x = np.abs(x)
    arch = 0.7610 - 6.0 * (x - 0.034) ** 2
    inside = 1 - np.hypot((x - 0.032) / 0.021, (z - arch) / 0.0042)
    return np.where((y < -0.10) & (model.head > 0.9), inside * 0.0042, -0.05)


@functools.cache
def _smoother(kind: str):
    inside = {"scalp": _scalp, "jaw": _jaw, "brow": _brow}[kind]()
    return smoother(body().adjacency, inside > -0.01)


def _layer(kind: str, inside: np.ndarray, posed: Posed, normal: np.ndarray, thick, colour, rounds: int) -> Piece:
    distance = 0.0008 + thick * np.clip(inside / CUT, 0, 1)
    surface = posed.vertices + normal * distance[:, None]
    for _ in range(rounds):
        surface = _smoother(kind) @ surface
    faces = body().faces
    return clip(surface, faces[(inside[faces] > 0).any(1)], inside, np.tile(colour, (len(surface), 1)))


def dress_head(person: Person, posed: Posed, normal: np.ndarray) -> list[Piece]:
    """Hair, beard, brows and irises of a posed person."""
    dark = person.hair * 0.75
    brow = _brow() - (0.0008 if person.gender == "woman" else 0.0)
    pieces = [_layer("brow", brow, posed, normal, 0.0015, dark * 0.8, 0), *_irises(person, posed)]
    if person.beard:
        pieces.append(_layer("jaw", _jaw(), posed, normal, 0.006, dark, 2))
    if person.hair_style == "bald":
        return pieces
    thick = THICK[person.hair_style]
    top = np.clip((body().average[:, 2] - 0.72) / 0.1, 0.5, 1.0)
    rounds = 2 if thick > 0.01 else 0  # smoothing shrinks the coarse crown
    pieces.append(_layer("scalp", _scalp(), posed, normal, thick * top, person.hair, rounds))
    return pieces + _falling(person, posed)


def hidden_scalp(person: Person) -> np.ndarray:
    """(F,) faces of the body under the hair."""
    if person.hair_style == "bald":
        return np.zeros(len(body().faces), bool)
    return (_scalp() > CUT * 1.5)[body().faces].all(1)


def _falling(person: Person, posed: Posed) -> list[Piece]:
    """Hair that hangs or sticks out from the cap, in the head's own frame."""
    frame = posed.bones[body().bone_index["head"]]
    local = (posed.vertices - frame[:3, 3]) @ frame[:3, :3]
    skull = local[_scalp() > 0.01]
    middle, back, top = skull.mean(0), skull[:, 1].max(), skull[:, 2].max()
    style = person.hair_style
    if style == "bun":
        pieces = [ball(np.array([middle[0], back + 0.008, top - 0.045]), np.array([0.036, 0.034, 0.036]), person.hair)]
    elif style == "ponytail":
        pieces = [_tail(np.array([middle[0], back + 0.004, top - 0.06]), person.hair)]
    elif style in ("bob", "long"):
        pieces = [_curtain(local, middle, top, 0.225 if style == "bob" else 0.42, person.hair)]
    else:
        pieces = []
    return [Piece(p.points @ frame[:3, :3].T + frame[:3, 3], p.faces, p.rgb) for p in pieces]


def _tail(root: np.ndarray, colour: np.ndarray) -> Piece:
    t = np.linspace(0, 1, 10)
    spine = root + np.stack([0 * t, 0.045 * np.sin(t * 2.2), 0.015 * np.sin(t * 5) - 0.27 * t**1.3], 1)
    radius = 0.024 * np.sin(np.pi * np.clip(t * 0.8 + 0.17, 0, 1)) ** 0.7 + 0.002
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    points = (spine[:, None] + radius[:, None, None] * ring).reshape(-1, 3)
    return Piece(points, grid_faces(10, 12, True), np.tile(colour, (len(points), 1)))


def _curtain(local: np.ndarray, middle: np.ndarray, top: float, length: float, colour: np.ndarray) -> Piece:
    """Hair that falls around the back of the head, from temple to temple, over neck and back."""
    angle = np.radians(np.linspace(-24, 204, 40))
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    central = (body().arm < 0.05) & (np.abs(local[:, 0] - middle[0]) < 0.10) & (local[:, 1] > middle[1] - 0.06)
    points = local[central]
    levels = np.linspace(top - 0.055, top - length, 18)
    rows: list[np.ndarray] = []
    for level in levels:
        near = points[np.abs(points[:, 2] - level) < 0.012]
        before = rows[-1] if rows else None
        now = ((near[:, :2] - middle[:2]) @ direction.T).max(0) if len(near) > 5 or before is None else before
        rows.append(now if before is None else np.maximum(now, before - 0.0035))
    # Lower down it lies over whatever is worn.
    fullness = np.interp(top - levels, [0.05, 0.10, 0.25, 0.42], [0.008, 0.014, 0.022, 0.046])[:, None]
    outline = (np.stack(rows) + fullness)[..., None] * direction + middle[:2]
    flat = np.concatenate([outline, np.broadcast_to(levels[:, None, None], (*outline.shape[:2], 1))], -1)
    strands = 1 - 0.08 * (np.arange(len(angle)) % 3 == 0)
    shade = np.broadcast_to(strands[None, :, None], (*outline.shape[:2], 1)).reshape(-1, 1)
    flat = flat.reshape(-1, 3)
    return Piece(flat, grid_faces(len(levels), len(angle), False), np.tile(colour, (len(flat), 1)) * shade)


def _irises(person: Person, posed: Posed) -> list[Piece]:
    """Caps on the eyeballs: iris and pupil."""
    turn, pieces = posed.bones[body().bone_index["head"], :3, :3], []
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    for eye in body().eyes:
        ball_points = posed.vertices[eye]
        centre = (ball_points.max(0) + ball_points.min(0)) / 2
        radius = np.linalg.norm(ball_points - centre, axis=1).max()
        for size, lift, colour in ((0.43, 1.005, person.iris), (0.20, 1.02, np.array([0.02, 0.02, 0.02]))):
            rim = np.stack([size * np.cos(angle), np.full_like(angle, -np.sqrt(1 - size**2)), size * np.sin(angle)], 1)
            cap = np.concatenate([[[0, -1.0, 0]], rim]) * radius * lift
            fan = np.stack([np.zeros(14, int), np.roll(np.arange(1, 15), -1), np.arange(1, 15)], 1)
            pieces.append(Piece(cap @ turn.T + centre, fan, np.tile(colour, (15, 1))))
    return pieces


def paint_skin(person: Person) -> np.ndarray:
    """(V, 3) colours of the bare body: skin, lips, white eyeballs, slightly red cheeks."""
    model = body()
    x, y, z = model.average.T
    rgb = np.tile(person.skin, (len(x), 1))
    cheek = np.exp(-(((np.abs(x) - 0.042) / 0.018) ** 2) - ((z - 0.695) / 0.018) ** 2) * (y < -0.08)
    rgb = rgb * (1 - 0.25 * cheek[:, None] * np.array([0.0, 0.5, 0.5]))
    rgb = rgb * (1 - model.lips[:, None]) + person.lips * model.lips[:, None]
    for eye in model.eyes:
        rgb[eye] = (0.93, 0.92, 0.90)
    return np.clip(rgb, 0, 1)
