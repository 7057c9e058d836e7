"""Backgrounds for watermarks: rendered people, photographs, synthetic scenes, and crops of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bolid.core.errors import BolidError
from bolid.core.photos import SUFFIXES, is_rendered, open_photo
from bolid.data.nuisance import compressed, dead_leaves
from bolid.vision.watermark import SIDE

LEAST = 300  # pixels of the shorter side of a photo that is read
LARGEST = 1200  # and to which larger ones are reduced
MADE = 60
SAMPLES: tuple[str, ...] = (
    "astronaut",
    "brick",
    "camera",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "horse",
    "moon",
    "ihc",
)
SAMPLES += ("motorcycle_left", "motorcycle_right", "rocket", "retina", "hubble_deep_field")
SHARES = {"rendered": 0.4, "photographs": 0.45, "made": 0.15}  # of the crops


@dataclass
class Backgrounds:
    """Unmarked images (h, w, 3) uint8 RGB by kind: rendered, photographs, made.

    Attributes:
        known: For training.
        held: Those of other people and photographs, for the threshold and the evaluation.
    """

    known: dict[str, list[np.ndarray]]
    held: dict[str, list[np.ndarray]]


def backgrounds(folder: Path) -> Backgrounds:
    """Those of a folder and of the packages that ship photographs; every sixth person and fourth photograph is held.

    Raises:
        BolidError: If the folder holds fewer than 16 photos.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and "masks" not in p.parts)
    if len(files) < 16:
        raise BolidError(f"{folder}: {len(files)} photos are too few to train on; give a folder of 16 or more")
    rendered: dict[str, list[np.ndarray]] = {}
    photographs = []
    for path in [*samples(), *files]:
        if is_rendered(path):
            rendered.setdefault(path.stem.partition("_")[0], []).append(opened(path, SIDE))
        elif min((picture := opened(path)).shape[:2]) >= LEAST:
            photographs.append(picture)
    made = [made_up(np.random.default_rng([k])) for k in range(MADE)]
    people = list(rendered.values())
    known = {"rendered": [p for k, some in enumerate(people) for p in some if k % 6], "made": made}
    known["photographs"] = [p for k, p in enumerate(photographs) if k % 4]
    held = {"rendered": [p for some in people[::6] for p in some], "photographs": photographs[::4]}
    return Backgrounds({k: v for k, v in known.items() if v}, {k: v for k, v in held.items() if v})


def opened(path: Path, largest: int = LARGEST) -> np.ndarray:
    """A photo, its shorter side at most so many pixels."""
    picture = np.array(open_photo(path))
    scale = largest / min(picture.shape[:2])
    if scale >= 1:
        return picture
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def samples() -> list[Path]:
    """Photographs that may be used freely and that scikit-image, scikit-learn and matplotlib ship."""
    import matplotlib
    import skimage
    import sklearn.datasets

    own = Path(skimage.__file__).parent / "data"
    found = [path for name in SAMPLES for path in (own / f"{name}.png", own / f"{name}.jpg")]
    found += [Path(sklearn.datasets.__file__).parent / "images" / f"{name}.jpg" for name in ("china", "flower")]
    found.append(Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg")
    return [path for path in found if path.is_file()]


def made_up(rng: np.random.Generator) -> np.ndarray:
    """A scene without people: dead leaves, or noise of a natural spectrum, under bars, grids and shapes."""
    if rng.random() < 0.5:
        picture = dead_leaves(SIDE, SIDE, rng)
    else:
        axis = np.fft.fftfreq(SIDE)
        power = np.hypot(axis[:, None], axis[None, : SIDE // 2 + 1]) + 1 / SIDE
        spectrum = rng.normal(size=(3, *power.shape)) + 1j * rng.normal(size=(3, *power.shape))
        noise = np.fft.irfft2(spectrum / power ** rng.uniform(0.8, 1.8), (SIDE, SIDE)).transpose(1, 2, 0)
        picture = noise / noise.std() * rng.uniform(5, 45) + rng.uniform(30, 225, 3)
    shown = np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8))
    for _ in range(int(rng.integers(0, 8))):
        shapes(shown, rng.integers(0, 256, 3), rng)
    return shown


def shapes(canvas: np.ndarray, colour: np.ndarray | float, rng: np.random.Generator) -> None:
    """Draws an ellipse, polygon, line, row of bars or grid: edges that are in the scene."""
    height, width = canvas.shape[:2]
    ink = np.atleast_1d(colour).astype(float).tolist()
    kind, turn, thick = int(rng.integers(4)), float(rng.uniform(0, 180)), int(rng.integers(1, 7))
    centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    extent = [int(v) for v in np.exp(rng.uniform(np.log(6), np.log(0.5 * min(height, width)), 2))]
    if kind == 0:
        cv2.ellipse(canvas, centre, extent, turn, 0, 360, ink, -1 if rng.random() < 0.6 else thick, cv2.LINE_AA)
    elif kind == 1:
        cv2.fillPoly(canvas, [(rng.normal(0, 1, (4, 2)) * extent + centre).astype(np.int32)], ink, cv2.LINE_AA)
    else:
        step = thick + int(rng.integers(4, 50))
        for way in (0, 90) if kind == 3 else (0,):
            along = np.array([np.cos(np.deg2rad(turn + way)), np.sin(np.deg2rad(turn + way))])
            across = np.array([-along[1], along[0]])
            for k in range(int(rng.integers(1, 12))):
                start, end = ((centre + across * k * step + along * reach * 2).astype(int) for reach in extent)
                cv2.line(canvas, start.tolist(), end.tolist(), ink, thick, cv2.LINE_AA)


def crop(known: dict[str, list[np.ndarray]], side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, 3) uint8 of some image, enlarged or reduced, mirrored, recoloured; one of seven a collage."""
    shown = _part(known, side, rng)
    if rng.random() < 0.15:
        mask = np.zeros((side, side), np.uint8)
        for _ in range(int(rng.integers(1, 4))):
            shapes(mask, 255.0, rng)
        share = mask[..., None] / np.float32(255)
        shown = shown * (1 - share) + _part(known, side, rng) * share
    if rng.random() < 0.15:
        shown = np.repeat(shown.mean(2, keepdims=True), 3, 2)
    gain = rng.uniform(0.7, 1.25) * rng.uniform(0.9, 1.1, 3)
    shown = (shown - 128) * gain.astype(np.float32) + 128 + np.float32(rng.uniform(-35, 35))
    return shown.clip(0, 255).astype(np.uint8)


def _part(known: dict[str, list[np.ndarray]], side: int, rng: np.random.Generator) -> np.ndarray:
    kinds = [kind for kind in SHARES if kind in known]
    share = np.array([SHARES[kind] for kind in kinds])
    some = known[str(rng.choice(kinds, p=share / share.sum()))]
    picture = some[int(rng.integers(len(some)))]
    taken = min(int(side * np.exp(rng.uniform(-0.5, 0.8))), *picture.shape[:2])
    y, x = (int(rng.integers(0, room - taken + 1)) for room in picture.shape[:2])
    part = picture[y : y + taken, x : x + taken, :]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    part = part[::-1] if rng.random() < 0.1 else part
    way = cv2.INTER_AREA if taken > side else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(part), (side, side), interpolation=way).astype(np.float32)


def spoilt(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Degrades an image like a web gallery: noise, blur, JPEG."""
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    if rng.random() < 0.3:
        noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(1, 7))
        picture = (picture + noise).clip(0, 255).astype(np.uint8)
    return compressed(picture, int(rng.integers(55, 97)))


def variant(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A variant of a held-out image: cropped, reduced (to at least 256 pixels), mirrored."""
    high, wide = (int(side * rng.uniform(0.75, 1)) for side in picture.shape[:2])
    y, x = (int(rng.integers(0, room - side + 1)) for room, side in zip(picture.shape, (high, wide), strict=False))
    part = picture[y : y + high, x : x + wide]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    scale = rng.uniform(min(1, 256 / min(high, wide)), 1)
    return cv2.resize(np.ascontiguousarray(part), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
