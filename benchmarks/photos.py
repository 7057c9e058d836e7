"""How well real photographs are read: `python benchmarks/photos.py [GROUP …] --photos FOLDER [--out FILE]`.

Each group is a function that gives numbers by name; they are merged into the results' file. FOLDER holds `people/*/*`,
photos by person, and `annotations.json`: per photo its people with COCO-17 keypoints (x, y, visibility) and area. The
networks must be in the cache folder (`bolid networks get movenet blazepose dlib-face`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from empty_pictures import empty_pictures, things
from keep import RESULTS, Number, keep
from PIL import Image

from bolid.core.keypoints import object_similarity
from bolid.data.annotate.annotate import annotate_folder
from bolid.vision.choice import PHOTOGRAPHS
from bolid.vision.dlib_face import DlibFace
from bolid.vision.found import People
from bolid.vision.load import pose_estimator
from bolid.vision.people import Estimator

RECALLED = 0.5  # OKS
ANNOTATED = 8  # keypoints that a person must have to be asked for
EMPTY_EACH = 50  # pictures of each of six kinds without people
PEOPLE = 6  # folders that photos are dealt out to


def annotated(folder: Path) -> list[dict[str, Any]]:
    """Photos with people's keypoints as arrays, the largest person first."""
    photos = json.loads((folder / "annotations.json").read_text())
    for photo in photos:
        people = [(np.array(p["keypoints"]), p["area"]) for p in photo["people"]]
        photo["people"] = sorted(((k, a) for k, a in people if (k[:, 2] > 0).any()), key=lambda person: -person[1])
    return photos


def portraits(folder: Path) -> list[Path]:
    """The photos by person, in order."""
    return sorted(path for path in folder.glob("people/*/*") if path.is_file())


@cache
def finder() -> Estimator:
    """What finds people by default."""
    return pose_estimator(str(PHOTOGRAPHS["pose"]))


@cache
def people_of(path: Path) -> People:
    """Who is found in a photo."""
    with Image.open(path) as picture:
        return people_in(picture.convert("RGB"))


def people_in(picture: Image.Image) -> People:
    """Who is found in a picture."""
    return finder().people(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255)[0]


def matched(found: np.ndarray, people: list[tuple[np.ndarray, float]]) -> list[float]:
    """OKS of each annotated person with the candidate that is theirs alone: the best pairs are taken first."""
    table = np.array([[object_similarity(pose, truth, area) for truth, area in people] for pose in found])
    best = [0.0] * len(people)
    for _ in range(min(table.shape) if table.size else 0):
        row, column = np.unravel_index(table.argmax(), table.shape)
        best[column] = max(0.0, float(table[row, column]))
        table[row, :], table[:, column] = -1, -1
    return best


def poses(folder: Path) -> dict[str, Number]:
    """People found, and how exactly."""
    photos = annotated(folder)
    recalled, main = [], []
    for photo in photos:
        agreed = matched(people_of(folder / photo["file_name"]).keypoints.numpy(), photo["people"])
        main += agreed[:1]
        asked = [(truth[:, 2] > 0).sum() >= ANNOTATED for truth, _ in photo["people"]]
        recalled += [oks >= RECALLED for oks, ask in zip(agreed, asked, strict=True) if ask]
    paths = [*(folder / photo["file_name"] for photo in photos), *portraits(folder)]
    found = [len(people_of(path).scores) > 0 for path in paths]
    missed = ", ".join(str(path.relative_to(folder)) for path, hit in zip(paths, found, strict=True) if not hit)
    print(f"nobody found in: {missed or 'none'}")
    return {
        "people_recall": (np.mean(recalled), f"{len(recalled)} people with {ANNOTATED} annotated keypoints or more"),
        "main_oks": (np.mean(main), f"the largest person of {len(main)} photos"),
        "person_found": (np.mean(found), f"{len(found)} photos of people"),
    }


def empty(folder: Path) -> dict[str, Number]:
    """Pictures in which nobody is to be found."""
    pictures = [*empty_pictures(EMPTY_EACH), *things()]
    wrong = [kind for kind, picture in pictures if len(people_in(picture).scores)]
    print(f"somebody found in: {', '.join(wrong) or 'none'}")
    made = len(pictures) - sum(1 for _ in things())
    return {
        "no_false_person": (
            1 - len(wrong) / len(pictures),
            f"{made} made pictures and {len(pictures) - made} photographs",
        )
    }


def faces(folder: Path) -> dict[str, Number]:
    """Whether two photos of one person are more alike than of two, over all pairs with a face in both."""
    recogniser, found = DlibFace(), []
    for path in portraits(folder):
        people = people_of(path)
        with Image.open(path) as picture:
            rgb = np.array(picture.convert("RGB"))
        face = recogniser.embed(rgb, people.keypoints[0].numpy()) if len(people.scores) else None
        found += [(path.parent.name, face)] if face is not None else []
    alike = np.stack([face for _, face in found]) @ np.stack([face for _, face in found]).T
    pairs = np.triu_indices(len(found), 1)
    same = np.array([[a == b for b, _ in found] for a, _ in found])[pairs]
    ours, others = alike[pairs][same], alike[pairs][~same]
    greater = (ours[:, None] > others).mean() + 0.5 * (ours[:, None] == others).mean()
    return {"face_auc": (greater, f"{len(ours)} same and {len(others)} different pairs of {len(found)} faces")}


def annotate(folder: Path) -> dict[str, Number]:
    """Photos annotated a second with the default networks, in processor time, as two idle cores would do it."""
    sources = [*(folder / photo["file_name"] for photo in annotated(folder)), *portraits(folder)]
    with tempfile.TemporaryDirectory() as place:
        album = Path(place)
        for number, source in enumerate(sources):
            target = album / f"p{number % PEOPLE}" / f"{number}{source.suffix}"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
        start = _processor_seconds()
        told = annotate_folder(album, person="largest", networks="photographs")
        seconds = _processor_seconds() - start
    print(told)
    sides = f"{len(sources)} photos, loading the networks included; processor time of one process, times two cores"
    return {"annotate_photos_per_s": (2 * len(sources) / seconds, sides)}


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


GROUPS: dict[str, Callable[[Path], dict[str, Number]]] = {
    "poses": poses,
    "empty": empty,
    "faces": faces,
    "annotate": annotate,
}


def main() -> None:
    """Measures the groups asked for, prints their numbers and merges them into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; by default all")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if unknown := set(asked.groups) - set(GROUPS):
        sys.exit(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    for group in asked.groups or GROUPS:
        keep(GROUPS[group](asked.photos), f"python benchmarks/photos.py {group} --photos FOLDER", asked.out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
