"""Renders data sets of people: parallel, resumable, with atomic writes."""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np

from bolid.core.errors import BolidError
from bolid.core.photos import RENDERED, marked
from bolid.core.safe_io import write_bytes
from bolid.core.schema import SPLITS
from bolid.synthetic.people.tables import ROWS, SINCE, write_tables

RENDERER_VERSION = 2
FRAMINGS = ("mixed", "figure", "upright", "full length", "three-quarter length", "head and shoulders")
FREE = {"photos", "framing", "companions"}  # options in which the people of a folder may differ
BY_SPLIT = FREE | {"families", "opposites", "outfits"}  # and those of other splits


@dataclass(frozen=True)
class Job:
    """All options that determine a data set's photos, except for the people."""

    folder: Path
    split: str
    photos: int
    height: int
    width: int
    framing: str
    outfits: int
    families: int
    opposites: bool
    seed: int
    companions: float = 0.0


def render_people(
    folder: Path,
    people: range | Sequence[int],
    photos: int,
    height: int = 528,
    width: int = 352,
    split: str = "train",
    framing: str = "mixed",
    outfits: int = 1,
    families: int = 0,
    opposites: bool = False,
    workers: int = 2,
    seed: int = 0,
    companions: float = 0.0,
) -> None:
    """Renders photos of people into a folder that `read_manifest` and Hugging Face's `imagefolder` can read.

    A photo depends on (person, photo index, seed) and the options only: same machine, same bytes. Finished people are
    not rendered again, so that an interrupted run resumes. Further calls with other people or another split extend the
    folder, if its photos were rendered by this version with the same options.

    Args:
        folder: Output folder of `<split>/p000123_0.png`, `masks/`, `metadata.parquet` and `people.parquet`.
        people: Person seeds, which are part of the file names.
        photos: Photos of each person.
        height, width: Pixels.
        split: "train", "val" or "test".
        framing: "mixed" (half full length, a third head and shoulders), "upright" (full length, standing or
            walking, from the front or turned halfway at most), "figure" (half of them upright, a quarter full length, a
            quarter three-quarter length), or one of the other `FRAMINGS` for all (underscores count as spaces).
        outfits: 2 renders every photo in a second outfit, too (`p000123_0b.png`), with equal pose, camera and
            background.
        families: Number of consecutive seeds that share head, skin and hair; 0 for none.
        opposites: Whether people come in counterfactual pairs: each odd seed has the scenes, clothes and head of the
            one before, with the opposite deviation from the average body.
        workers: Number of processes.
        seed: Seed of poses, clothes and scenes; people do not depend on it.
        companions: Share of full-length photos with a second person beside.

    Raises:
        BolidError: If an option is out of range, EGL is missing, or the folder holds photos with other options.
    """
    job = Job(
        Path(folder),
        split,
        photos,
        height,
        width,
        framing.replace("_", " "),
        outfits,
        families,
        opposites,
        seed,
        companions,
    )
    _check(job, workers)
    todo = [person for person in people if not _finished(job, person)]
    if todo:
        _check_others(job)
        _render(job, todo, workers)
    write_tables(job.folder)


def _check(job: Job, workers: int) -> None:
    from bolid.synthetic.people.raster import require_egl

    wrong = [
        (job.split not in SPLITS, f"split {job.split!r} is none of {', '.join(SPLITS)}"),
        (job.framing not in FRAMINGS, f"framing {job.framing!r} is none of {', '.join(FRAMINGS)}"),
        (min(job.photos, workers, job.outfits) < 1, "photos, workers and outfits must be at least 1"),
        (job.opposites and job.families % 2 and job.families > 1, "opposites are family: families must be even"),
        (job.outfits > 26, "outfits must be at most 26"),
        (not 0 <= job.companions <= 1, "companions must lie between 0 and 1"),
        (min(job.height, job.width) < 32 or max(job.height, job.width) > 2048, "height and width must be 32 to 2048"),
    ]
    for condition, message in wrong:
        if condition:
            raise BolidError(f"cannot render people into {job.folder}: {message}")
    require_egl()


def _render(job: Job, todo: list[int], workers: int) -> None:
    """Distributes people to processes in small portions, with a progress bar."""
    from tqdm import tqdm

    from bolid.synthetic.people.body import body

    body()  # builds the body model's cache once; workers writing it at the same time would break it
    portions = [todo[i : i + 4] for i in range(0, len(todo), 4)]
    with tqdm(total=len(todo) * job.photos * job.outfits, unit="photo", desc=f"rendering {job.split}") as bar:
        if workers == 1:
            for portion in portions:
                bar.update(render_portion(job, portion))
            return
        spawn = multiprocessing.get_context("spawn")  # a forked VTK or torch may hang
        with ProcessPoolExecutor(min(workers, len(portions)), spawn, _start_worker) as pool:
            for future in as_completed([pool.submit(render_portion, job, portion) for portion in portions]):
                bar.update(future.result())


def _start_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import scipy.linalg  # noqa: F401  loaded first, so that its threads can be limited
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)  # threads of numpy's BLAS wait by spinning, and halve the speed of the other workers


def _end_with_parent() -> None:
    """Ends workers with their parent, else they would wait for ever if it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@functools.cache
def _raster(height: int, width: int):
    from bolid.synthetic.people.raster import Raster

    return Raster(height, width)


def render_portion(job: Job, people: Sequence[int]) -> int:
    """Renders a few people in this process; returns how many photos that were."""
    return sum(_render_person(job, person) for person in people)


def _render_person(job: Job, number: int) -> int:
    from bolid.synthetic.people.identity import make_person
    from bolid.synthetic.people.photo import render_photos, super_sampling

    person = make_person(number, job.families, job.opposites)
    over = super_sampling(job.height)
    raster = _raster(job.height * over, job.width * over)
    size, indices = (job.height, job.width), list(range(job.photos))
    rows = []
    shots = render_photos(person, indices, raster, size, job.seed, job.framing, job.outfits, job.companions)
    for index, variants in enumerate(shots):
        for outfit, photo in enumerate(variants):
            rows.append(_save(job, number, index, outfit, photo))
    about = {"identity": name(number), "family": f"f{person.family:06d}", "gender": person.gender}
    about |= asdict(person.measures)
    content = {"job": _fingerprint(job), "person": about, "rows": rows}
    write_bytes(_row_file(job, number), json.dumps(content).encode())
    return len(rows)


def name(number: int) -> str:
    """The identity's key, as in file names."""
    return f"p{number:06d}"


def _save(job: Job, number: int, index: int, outfit: int, photo) -> dict:
    letter = "" if outfit == 0 else chr(ord("a") + outfit)
    file = f"{job.split}/{name(number)}_{index}{letter}.png"
    content = marked(_png(photo.picture), f"{RENDERED} v{RENDERER_VERSION}")
    write_bytes(job.folder / file, content)
    write_bytes(job.folder / "masks" / file, _png(photo.mask))
    return {
        "file_name": file,
        "identity": name(number),
        "phrases": [list(p) for p in photo.phrases],
        "keypoints": photo.keypoints.tolist(),
        "keypoints_canonical": photo.keypoints_canonical.tolist(),
        "box": photo.box.tolist(),
        "face_box": None if photo.face_box is None else photo.face_box.tolist(),
        "silhouette": f"masks/{file}",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _png(picture: np.ndarray) -> bytes:
    import cv2

    if picture.ndim == 3:
        picture = picture[..., ::-1]
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def _row_file(job: Job, number: int) -> Path:
    return job.folder / ROWS / job.split / f"{name(number)}.json"


def how_rendered(folder: Path, split: str, number: int) -> dict:
    """The options of a person's photos in a folder; empty if they were not rendered there."""
    file = Path(folder) / ROWS / split / f"{name(number)}.json"
    return SINCE | json.loads(file.read_text())["job"] if file.is_file() else {}


def _fingerprint(job: Job) -> dict:
    options = asdict(job) | {"renderer": RENDERER_VERSION}
    return {key: options[key] for key in sorted(options) if key not in ("folder", "split")}


def _finished(job: Job, number: int) -> bool:
    """Whether a person is already rendered with the same options."""
    file = _row_file(job, number)
    if not file.exists():
        return False
    _compare(job, file, _fingerprint(job))
    return True


def _check_others(job: Job) -> None:
    """Refuses to mix photos of different options in a folder, except for `FREE` and `BY_SPLIT`."""
    now = _fingerprint(job)
    for file in sorted((job.folder / ROWS).glob("*/p*.json")):
        free = FREE if file.parent.name == job.split else BY_SPLIT
        _compare(job, file, {key: value for key, value in now.items() if key not in free})


def _compare(job: Job, file: Path, wanted: dict) -> None:
    before = SINCE | json.loads(file.read_text())["job"]
    changed = ", ".join(f"{k} was {before.get(k)}, not {v}" for k, v in wanted.items() if before.get(k) != v)
    if changed:
        raise BolidError(
            f"{job.folder} holds photos rendered otherwise (of {file.parent.name}/{file.stem}: {changed}); "
            "choose a new folder"
        )
