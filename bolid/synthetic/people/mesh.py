"""Triangle meshes as NumPy arrays: normals, smoothing, joining."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse


@dataclass
class Piece:
    """A coloured surface: `points` (N, 3) metres, `faces` (F, 3), `rgb` (N, 3) in 0..1."""

    points: np.ndarray
    faces: np.ndarray
    rgb: np.ndarray


def normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(N, 3) unit vertex normals, area-weighted."""
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    face = np.cross(b - a, c - a)
    total = np.stack(
        [np.bincount(faces.ravel(), np.repeat(face[:, i], 3), minlength=len(points)) for i in range(3)], axis=1
    )
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def smoother(adjacency: sparse.csr_matrix, chosen: np.ndarray) -> sparse.csr_matrix:
    """An operator that moves each chosen vertex half-way to its chosen neighbours' mean; others stay."""
    keep = sparse.diags(chosen.astype(np.float32))
    near = keep @ adjacency @ keep
    degree = np.asarray(near.sum(1)).ravel()
    mean = sparse.diags(np.where(degree > 0, 0.5 / np.maximum(degree, 1), 0)) @ near
    return (mean + sparse.diags(np.where(degree > 0, 0.5, 1.0))).tocsr().astype(np.float32)


def compact(points: np.ndarray, faces: np.ndarray, rgb: np.ndarray) -> Piece:
    """Drops the vertices that no face uses."""
    used = np.zeros(len(points), bool)
    used[faces] = True
    renumber = np.cumsum(used) - 1
    return Piece(points[used], renumber[faces], rgb[used])


def clip(points: np.ndarray, faces: np.ndarray, inside: np.ndarray, rgb: np.ndarray) -> Piece:
    """Cuts a surface along the line where `inside` (N,) changes sign, straight through its triangles."""
    positive = inside[faces] > 0
    count = positive.sum(1)
    whole, one, two = faces[count == 3], faces[count == 1], faces[count == 2]
    # Turn triangles until the odd corner is the first.
    first = positive[count == 1].argmax(1)
    lone = np.stack([one[np.arange(len(one)), (first + k) % 3] for k in range(3)], 1)
    first = (~positive[count == 2]).argmax(1)
    pair = np.stack([two[np.arange(len(two)), (first + k) % 3] for k in range(3)], 1)
    edges = np.concatenate([lone[:, [0, 1]], lone[:, [0, 2]], pair[:, [0, 1]], pair[:, [0, 2]]])
    a, b = inside[edges[:, 0]], inside[edges[:, 1]]
    share = (a / np.where(np.abs(a - b) < 1e-12, 1, a - b))[:, None]
    cut = points[edges[:, 0]] * (1 - share) + points[edges[:, 1]] * share
    i, n = len(points) + np.arange(len(edges)), len(lone)
    p, q = i[2 * n : 2 * n + len(pair)], i[2 * n + len(pair) :]
    cut_faces = [
        np.stack([lone[:, 0], i[:n], i[n : 2 * n]], 1),
        np.stack([p, pair[:, 1], pair[:, 2]], 1),
        np.stack([p, pair[:, 2], q], 1),
    ]
    colours = np.concatenate([rgb, rgb[edges[:, 0]]])
    return compact(np.concatenate([points, cut]), np.concatenate([whole, *cut_faces]), colours)


def join(pieces: list[Piece]) -> Piece:
    """One mesh of several."""
    starts = np.cumsum([0] + [len(p.points) for p in pieces[:-1]])
    return Piece(
        np.concatenate([p.points for p in pieces]).astype(np.float32),
        np.concatenate([p.faces + s for p, s in zip(pieces, starts, strict=True)]),
        np.concatenate([p.rgb for p in pieces]).astype(np.float32),
    )


def grid_faces(rows: int, columns: int, closed: bool) -> np.ndarray:
    """Triangles of a rows x columns sheet of vertices; `closed` joins the last column to the first."""
    r, c = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing="ij")
    a, b = r * columns + c, r * columns + (c + 1) % columns
    low_a, low_b = a + columns, b + columns
    return np.concatenate([np.stack([a, low_a, b], -1), np.stack([b, low_a, low_b], -1)]).reshape(-1, 3)


def ball(centre: np.ndarray, radii: np.ndarray, colour: np.ndarray, rings: int = 10) -> Piece:
    """An ellipsoid with its axes along the world's."""
    polar, azimuth = np.linspace(0, np.pi, rings), np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    p, a = np.meshgrid(polar, azimuth, indexing="ij")
    unit = np.stack([np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)], -1).reshape(-1, 3)
    return Piece(centre + unit * radii, grid_faces(rings, 2 * rings, True), np.tile(colour, (len(unit), 1)))
