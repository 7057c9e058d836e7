"""Meshes against closed forms."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from bolid.synthetic.people.mesh import Piece, ball, clip, grid_faces, join, normals, smoother


def area(points: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (points[faces[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def sheet(n: int = 12) -> Piece:
    """The unit square as n x n vertices."""
    y, x = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    points = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    return Piece(points, grid_faces(n, n, closed=False), np.ones((n * n, 3)))


def test_normals_of_a_ball_point_outwards():
    piece = ball(np.array([1.0, 2, 3]), np.full(3, 0.5), np.ones(3), rings=24)
    found = normals(piece.points, piece.faces[:, ::-1])
    outward = (piece.points - [1, 2, 3]) / 0.5
    cosine = np.abs((found * outward).sum(1))
    assert cosine[24:-24].min() > 0.98
    assert np.allclose(np.linalg.norm(found[24:-24], axis=1), 1, atol=1e-5)


def test_clip_cuts_straight_through_triangles():
    piece = sheet()
    for direction, offset in (([1, 0], 0.437), ([0.6, 0.8], 0.71), ([-1, 1], 0.05)):
        inside = offset - piece.points[:, :2] @ np.array(direction, float)
        cut = clip(piece.points, piece.faces, inside, piece.rgb)
        fine = (np.stack(np.meshgrid(*[(np.arange(1000) + 0.5) / 1000] * 2), -1) @ direction < offset).mean()
        assert abs(area(cut.points, cut.faces) - fine) < 2e-3
        assert (offset - cut.points[:, :2] @ np.array(direction, float)).min() > -1e-9
        assert cut.faces.max() == len(cut.points) - 1 == len(cut.rgb) - 1


def test_clip_keeps_all_or_nothing():
    piece = sheet()
    whole = clip(piece.points, piece.faces, np.ones(144), piece.rgb)
    assert np.isclose(area(whole.points, whole.faces), 1.0)
    assert len(clip(piece.points, piece.faces, -np.ones(144), piece.rgb).faces) == 0


def test_smoother_leaves_the_others_and_keeps_a_flat_sheet_flat():
    chain = sparse.diags([np.ones(9), np.ones(9)], [1, -1]).tocsr()
    chosen = np.arange(10) < 6
    values = np.random.default_rng(0).normal(size=(10, 1))
    moved = smoother(chain, chosen) @ values
    assert np.allclose(moved[6:], values[6:])
    assert np.isclose(moved[3, 0], 0.5 * values[3, 0] + 0.25 * (values[2, 0] + values[4, 0]))
    assert np.allclose(smoother(chain, chosen) @ np.ones((10, 1)), 1)


def test_join_renumbers():
    one, two = sheet(3), sheet(4)
    both = join([one, two])
    assert np.isclose(area(both.points, both.faces), 2.0)
