"""How well BlazePose and BlazeFace read people: `python benchmarks/photo_bodies.py GROUP … --photos FOLDER`.

FOLDER is that of `benchmarks/photos.py`, into whose results' file the numbers are merged. There is no package with
photos of people and their silhouettes: silhouettes are compared with the exact ones of rendered people, rendered first
if there are none. The networks must be in the cache folder (`bolid networks get movenet blazepose blazepose-heavy
blazeface-short blazeface-full`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from keep import RESULTS, Number, keep
from PIL import Image, ImageOps

from bolid.core.keypoints import object_similarity
from bolid.data.manifest import read_manifest
from bolid.synthetic.render import render_folder
from bolid.vision.blazeface import BlazeFace
from bolid.vision.blazepose import BlazePose, Landmarks
from bolid.vision.bones import bone_lengths, bone_ratios, bones_seen
from bolid.vision.movenet import MoveNet

ANNOTATED = 8  # keypoints that a person must have to be asked for
PEOPLE, PHOTOS = 24, 5  # that are rendered


@cache
def network(size: str) -> BlazePose:
    """BlazePose full or heavy."""
    return BlazePose(size)


def opened(path: Path) -> np.ndarray:
    """A photo's pixels."""
    with Image.open(path) as picture:
        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))


def photos(folder: Path) -> list[Path]:
    """All photos of people."""
    return sorted(path for part in ("people/*/*", "whole/*") for path in folder.glob(part) if path.is_file())


@cache
def reading(size: str, path: Path) -> tuple[list[Landmarks], float]:
    """Who is in a photo, and the seconds of one core that reading it took."""
    rgb, reader = opened(path), network(size)
    start = time.process_time()
    return reader.read(rgb), time.process_time() - start


def found(folder: Path, rendered: Path) -> dict[str, Number]:
    """In how many photos BlazePose and BlazeFace find somebody by themselves, and what that takes."""
    every, portraits = photos(folder), sorted(folder.glob("people/*/*"))
    numbers: dict[str, Number] = {}
    for size in ("full", "heavy"):
        read = [reading(size, path) for path in every]
        sets = f"{len(every)} photos of people"
        numbers[f"blazepose_{size}_found"] = (np.mean([len(people) > 0 for people, _ in read]), sets)
        numbers[f"blazepose_{size}_seconds"] = (np.median([spent for _, spent in read]), f"{sets}, median, one core")
    for reach in ("short", "full"):
        faces = BlazeFace(reach)
        seen = [len(faces.detect(opened(path)).scores) > 0 for path in portraits]
        numbers[f"blazeface_{reach}_found"] = (np.mean(seen), f"{len(portraits)} heads and busts")
    return numbers


def exact(folder: Path, rendered: Path) -> dict[str, Number]:
    """OKS of annotated people, by BlazePose's own detector and in the places where MoveNet found them."""
    own, given = [], []
    movenet, reader = MoveNet(), network("full")
    for photo in json.loads((folder / "annotations.json").read_text()):
        rgb = opened(folder / photo["file_name"])
        keypoints = movenet.people(torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255)[0].keypoints.numpy()
        readings = (own, reading("full", folder / photo["file_name"])[0]), (given, reader.read(rgb, keypoints))
        for person in photo["people"]:
            truth = np.array(person["keypoints"])
            if (truth[:, 2] > 0).sum() >= ANNOTATED:
                for scores, people in readings:
                    near = [object_similarity(p.keypoints, truth, person["area"]) for p in people]
                    scores.append(max(near, default=0.0))
    sets = f"{len(own)} people with {ANNOTATED} annotated keypoints or more"
    return {
        "blazepose_oks": (np.mean(own), sets),
        "blazepose_recall": (np.mean(np.array(own) >= 0.5), sets),
        "blazepose_oks_given_movenet": (np.mean(given), sets),
        "blazepose_recall_given_movenet": (np.mean(np.array(given) >= 0.5), sets),
    }


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks of bytes."""
    return float(((a > 127) & (b > 127)).sum() / max(1, ((a > 127) | (b > 127)).sum()))


def silhouettes(folder: Path, rendered: Path) -> dict[str, Number]:
    """Silhouettes against exact ones of rendered people, and of one network against the other's on photos."""
    records = [record for record in read_manifest(rendered) if record.silhouette]
    numbers: dict[str, Number] = {}
    for size, name, step in (("full", "silhouette_iou", 1), ("heavy", "silhouette_iou_heavy", 3)):
        pairs = []
        for record in records[::step]:
            people, _ = reading(size, rendered / record.file_name)
            with Image.open(rendered / str(record.silhouette)) as truth:
                pairs.append(overlap(people[0].silhouette, np.array(truth)) if people else 0.0)
        numbers[name] = (np.median(pairs), f"{len(pairs)} rendered photos with exact silhouettes, median")
    both = [[reading(size, path)[0] for size in ("full", "heavy")] for path in photos(folder)]
    pairs = [overlap(one[0].silhouette, other[0].silhouette) for one, other in both if one and other]
    numbers["silhouette_full_against_heavy"] = (np.median(pairs), f"{len(pairs)} photos, median")
    return numbers


def bones(folder: Path, rendered: Path) -> dict[str, Number]:
    """Whether bone ratios tell rendered people apart: each photo's nearest person by the mean of the other photos."""
    names, ratios = [], []
    for record in read_manifest(rendered):
        people, _ = reading("full", rendered / record.file_name)
        if people and bones_seen(torch.from_numpy(people[0].keypoints)).all():
            names.append(record.identity)
            ratios.append(bone_ratios(bone_lengths(torch.from_numpy(people[0].world)), torch.ones(7)).numpy())
    who, scaled = np.array(names), np.stack(ratios)
    scaled = (scaled - scaled.mean(0)) / scaled.std(0)
    hits, chances = [], []
    for k in range(len(who)):
        rest = np.arange(len(who)) != k
        known = sorted(set(who[rest]))
        if who[k] in known:
            away = [np.square(scaled[rest & (who == name)].mean(0) - scaled[k]).sum() for name in known]
            hits.append(known[int(np.argmin(away))] == who[k])
            chances.append(1 / len(known))
    sets = f"{len(hits)} rendered whole figures"
    return {"bone_retrieval": (np.mean(hits), sets), "bone_retrieval_chance": (np.mean(chances), sets)}


GROUPS: dict[str, Callable[[Path, Path], dict[str, Number]]] = {
    "exact": exact,
    "silhouettes": silhouettes,
    "found": found,
    "bones": bones,
}


def main() -> None:
    """Measures the groups asked for, prints their numbers and merges them into the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", help=f"of {', '.join(GROUPS)}; by default all")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--rendered", type=Path, default=Path("data/benchmarks/bodies"))
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    if unknown := set(asked.groups) - set(GROUPS):
        sys.exit(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if not asked.rendered.exists():
        print(render_folder(asked.rendered, PEOPLE, photos=PHOTOS, framing="figure"))
    for group in asked.groups or GROUPS:
        numbers = GROUPS[group](asked.photos, asked.rendered)
        keep(numbers, f"python benchmarks/photo_bodies.py {group} --photos FOLDER", asked.out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
