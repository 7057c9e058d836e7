"""Renders a photo with its ground truth, a function of person, photo number and seed."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from bolid.core.schema import Phrase
from bolid.synthetic.people.backdrop import draw_backdrop
from bolid.synthetic.people.body import ADULT, Posed, Rest, body
from bolid.synthetic.people.captions import describe
from bolid.synthetic.people.companion import Companion, beside, between, describe_companion, draw_companion
from bolid.synthetic.people.garments import skin_normals
from bolid.synthetic.people.head import dress_head, hidden_scalp, paint_skin
from bolid.synthetic.people.identity import Person
from bolid.synthetic.people.mesh import Piece, compact, join, normals
from bolid.synthetic.people.outfit import Outfit, draw_outfit, wear
from bolid.synthetic.people.pose import FRAMING_ODDS, ODDS, POSES, draw_pose
from bolid.synthetic.people.raster import Raster
from bolid.synthetic.people.scene import CYCLES, Camera, Scene, aim_at, draw_scene, place_camera

AVERAGE = {"gender": 0.5, "age": ADULT, "height": 0.335, "muscle": 0.5, "weight": 0.6, "proportions": 0.5}
# How far inside the visible surface a joint may lie and still count as seen, in metres (17 COCO points).
BURIED = np.array([0.03, 0.035, 0.035, 0.05, 0.05] + [0.11] * 2 + [0.09] * 4 + [0.21] * 2 + [0.13] * 2 + [0.09] * 2)


@dataclass
class Photo:
    """A rendered photo.

    Attributes:
        picture: (h, w, 3) uint8. `mask`: (h, w) uint8, 255 where the person (with hair and clothes) is; a companion
            is not of the mask.
        keypoints, keypoints_canonical: (17, 3) x, y in pixels, 1 visible, .5 hidden, 0 outside the frame (x = y = 0).
        box: (4,) of the mask; `face_box`: (4,) or None.
    """

    picture: np.ndarray
    mask: np.ndarray
    keypoints: np.ndarray
    keypoints_canonical: np.ndarray
    box: np.ndarray
    face_box: np.ndarray | None
    phrases: list[Phrase]


@dataclass
class Plan:
    """Random choices of a photo before the body is posed."""

    scene: Scene
    pose: str
    rotations: np.ndarray
    rng: np.random.Generator
    companion: Companion | None = None


def plan_photo(person: Person, index: int, seed: int, framing: str = "mixed", companions: float = 0.0) -> Plan:
    """Samples scene and pose of a photo, and for a share of full-length photos the companion."""
    rng = np.random.default_rng([seed, person.scenes, index, 3])
    cycle = CYCLES.get(framing, (framing,))
    chosen = cycle[(index + person.scenes) % len(cycle)]
    scene = draw_scene(rng, chosen)
    odds = FRAMING_ODDS.get(chosen, ODDS)
    pose = str(rng.choice(list(odds), p=np.array(list(odds.values())) / sum(odds.values())))
    companion = draw_companion(np.random.default_rng([seed, person.scenes, index, 5]), scene, companions)
    return Plan(scene, pose, draw_pose(pose, rng, body()), rng, companion)


def render_photos(
    person: Person,
    indices: list[int],
    raster: Raster,
    size: tuple[int, int],
    seed: int,
    framing: str,
    outfits: int = 1,
    companions: float = 0.0,
) -> list[list[Photo]]:
    """All outfits of all photos of a person."""
    plans = [plan_photo(person, i, seed, framing, companions) for i in indices]
    own, moved = person.rest, _family_head(person)
    photos = []
    for i, plan in zip(indices, plans, strict=True):
        mine = _with_family_head(body().pose(own, plan.rotations), moved)
        canonical = body().pose(_average_rest(), plan.rotations)
        drawn = _draw_outfits(person, i, plan, seed, outfits)
        photos.append([_photo(person, *worn, plan, mine, canonical, raster, size) for worn in drawn])
    return photos


def _draw_outfits(
    person: Person, index: int, plan: Plan, seed: int, count: int
) -> list[tuple[Outfit, np.random.Generator]]:
    """The outfits of a photo, each unlike the one before, with the generator of their photo's wordings."""
    drawn: list[tuple[Outfit, np.random.Generator]] = []
    for number in range(count):
        rng, before = np.random.default_rng([seed, person.scenes, index, 4, number]), drawn[-1][0] if drawn else None
        drawn.append((draw_outfit(rng, person.gender, POSES[plan.pose].upright, before), rng))
    return drawn


@functools.cache
def _average_rest() -> Rest:
    return body().rest(AVERAGE, {})


def _family_head(person: Person) -> np.ndarray:
    """(V, 3) rest vertices of the family's head, moved onto the person's own neck."""
    own = person.rest
    if person.head_phenotype is person.phenotype:
        return own.vertices
    family, at = body().rest(person.head_phenotype, person.head_changes), body().bone_index["head"]
    return family.vertices - family.bones[at, :3, 3] + own.bones[at, :3, 3]


def _with_family_head(posed: Posed, moved: np.ndarray) -> Posed:
    """Families have the same face whatever their body."""
    turn = posed.bones[body().bone_index["head"]]
    head = moved @ turn[:3, :3].T + turn[:3, 3]
    weight = np.clip(body().head * 1.5 - 0.5, 0, 1)[:, None]
    return Posed((posed.vertices * (1 - weight) + head * weight).astype(np.float32), posed.bones)


def _stand(posed: Posed, azimuth: float) -> Posed:
    """Turns a body and puts its lowest point on the floor, its hips' middle over the origin."""
    angle = np.radians(azimuth)
    move = np.eye(4, dtype=np.float32)
    move[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    vertices = posed.vertices @ move[:3, :3].T
    move[:2, 3] = -vertices[body().leg > 0.5, :2].mean(0) * 0.5 - vertices[:, :2].mean(0) * 0.5
    move[2, 3] = 0.012 - vertices[:, 2].min()
    return Posed(vertices + move[:3, 3], move @ posed.bones)


def _photo(person, outfit: Outfit, rng, plan: Plan, own: Posed, canonical: Posed, raster, size) -> Photo:
    scene, model = plan.scene, body()
    own, canonical = _stand(own, scene.azimuth), _stand(canonical, scene.azimuth)
    points, average = model.keypoints(own.vertices), model.keypoints(canonical.vertices)
    view = between(scene, plan.companion) if plan.companion else scene
    camera = place_camera(view, aim_at(view, points))
    alone = mesh = _shaded(_assemble(person, own, outfit), scene)
    if plan.companion:
        mesh = join([mesh, _shaded(_companion(plan.companion), scene)])
    colours, depth = raster.draw(mesh, camera)
    near = raster.draw(alone, camera)[1] if plan.companion else depth
    picture, mask = _develop(scene, camera, own, mesh, colours, depth, near, size, POSES[plan.pose].seated)
    keypoints = _seen(points, camera, depth, size)
    around = place_camera(view, aim_at(view, average))
    phrases = describe(person, plan.pose, outfit, scene, rng)
    if plan.companion:
        phrases.insert([p.kind for p in phrases].index("view"), describe_companion(plan.companion))
    return Photo(
        picture,
        mask,
        keypoints,
        _inside(average, around, size, keypoints[:, 2]),
        _box(mask),
        _face_box(own, camera, size, keypoints),
        phrases,
    )


def _companion(companion: Companion) -> Piece:
    posed = _stand(body().pose(companion.person.rest, companion.rotations), companion.azimuth)
    return _assemble(companion.person, beside(posed, companion), companion.outfit)


def _assemble(person: Person, posed: Posed, outfit) -> Piece:
    """The whole person as one mesh; colours are still unlit."""
    normal = skin_normals(posed)
    clothes, uncovered = wear(outfit, posed, normal)
    skin = compact(posed.vertices, body().faces[uncovered & ~hidden_scalp(person)], paint_skin(person))
    return join([skin, *clothes, *dress_head(person, posed, normal)])


def _shaded(mesh: Piece, scene: Scene) -> Piece:
    """Lights every vertex: a key lamp that wraps around a little, and light from sky and floor."""
    normal = normals(mesh.points, mesh.faces)
    key = np.clip((normal @ scene.light + 0.15) / 1.15, 0, 1) * scene.key
    fill = scene.ambient * (0.86 + 0.14 * normal[:, 2]) + 0.06 * np.abs(normal[:, 1])
    lit = mesh.rgb * (key + fill)[:, None] * scene.warmth
    return Piece(mesh.points, mesh.faces, np.clip(lit, 0, 1).astype(np.float32))


def _develop(scene, camera, posed, mesh, colours, depth, near, size, seated) -> tuple[np.ndarray, np.ndarray]:
    """Composes people and backdrop and averages the super-sampled pixels; the mask is that of the person `near`."""
    height, width = size
    over = depth.shape[0] // height
    coarse = 2 if height < 200 else 1
    seat = _seat_under(posed) if seated else None
    back, back_depth = draw_backdrop(scene, camera, height * coarse, width * coarse, mesh.points[::4], seat)
    if seat is not None:
        wide = back_depth.repeat(over // coarse, 0).repeat(over // coarse, 1)
        depth[depth > wide] = np.inf
    drawn = np.isfinite(depth)
    cover, own = (_average_whole(what.astype(np.uint16)[..., None], over) for what in (drawn, drawn & (near <= depth)))
    ink = _average_whole(colours * drawn.astype(np.uint16)[..., None], over)
    picture = ink + _average(back, coarse) * 255 * (1 - cover)
    return (picture + 0.5).clip(0, 255).astype(np.uint8), (own[..., 0] * 255 + 0.5).astype(np.uint8)


def _average_whole(picture: np.ndarray, by: int) -> np.ndarray:
    """The same for whole numbers, whose sums are exact in any order: much faster."""
    total = np.zeros_like(picture[::by, ::by])
    for corner in range(by * by):
        total += picture[corner // by :: by, corner % by :: by]
    return total.astype(np.float32) / np.float32(by * by)


def _average(picture: np.ndarray, by: int) -> np.ndarray:
    if by == 1:
        return picture
    h, w, c = picture.shape
    return picture.reshape(h // by, by, w // by, by, c).mean((1, 3), dtype=np.float32)


def _seat_under(posed: Posed) -> np.ndarray:
    """(2, 3) corners of the box below hips and thighs."""
    model = body()
    hips = posed.vertices[(model.average[:, 2] < 0.10) & (model.average[:, 2] > -0.10) & (model.arm < 0.1)]
    centre, half = hips[:, :2].mean(0), 0.24
    top = np.percentile(hips[:, 2], 4)
    return np.array([[*(centre - half), 0.0], [*(centre + half), top]])


def _seen(points: np.ndarray, camera: Camera, depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    pixels, distance = camera.project(points, height, width)
    out = _inside(points, camera, size, np.ones(17))
    scale = depth.shape[0] / height
    x, y = ((pixels * scale).astype(int).clip(0, [depth.shape[1] - 1, depth.shape[0] - 1])).T
    hidden = depth[y, x] < distance - BURIED
    out[hidden & (out[:, 2] > 0), 2] = 0.5
    return out


def _inside(points: np.ndarray, camera: Camera, size: tuple[int, int], confidence: np.ndarray) -> np.ndarray:
    pixels, _ = camera.project(points, *size)
    inside = np.all((pixels >= 0) & (pixels < [size[1], size[0]]), axis=1)
    confidence = np.where(confidence > 0, confidence, 0.5) * inside
    return (np.concatenate([pixels, confidence[:, None]], 1) * inside[:, None]).astype(np.float32)


def _box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.max(1) > 127), np.flatnonzero(mask.max(0) > 127)
    if not len(rows) or not len(columns):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _face_box(posed: Posed, camera: Camera, size: tuple[int, int], keypoints: np.ndarray) -> np.ndarray | None:
    if keypoints[0, 2] < 1 or keypoints[1:3, 2].max() < 1:
        return None
    model = body()
    face = (model.head > 0.9) & (model.average[:, 1] < -0.06)
    pixels, _ = camera.project(posed.vertices[face], *size)
    box = np.concatenate([pixels.min(0), pixels.max(0)])
    return box.clip(0, [size[1], size[0], size[1], size[0]]).astype(np.float32)


def super_sampling(height: int) -> int:
    """Super-sampling factor per side."""
    return 2 if height >= 200 else 4
