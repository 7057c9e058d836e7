"""What `bolid data curate` catches and loses: `python -m benchmarks.curate [--real FOLDER] [--keep true]`.

Faults are planted into rendered people's photos of 1024 pixels (rendered first, some minutes, unless they are there)
and, with `--real`, into a folder of real people's. Prints, per kind of fault, how many are caught at all and by their
own filter, and per filter precision and recall; the good photos that are lost; and photos a second without networks.
Each kind is planted alone, for a photo with two faults is caught for either.
Wrong persons have a face that can be read, by the renderer's own keypoints, and are put into folders with at least
three such photos; those that show no such face are planted apart and only reported, for nobody can tell who they are.
`--keep` writes the numbers to `benchmarks/results/photos.json`. What was measured of the planted photos stays beside
the rendered ones, so that another threshold costs seconds.

Networks for rendered people: MoveNet and BlazeFace, which find them as they find real ones, and the embedded face
recogniser, since dlib's tells rendered faces apart no better than chance where they are small.
"""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.curate_render import Rendered, render
from benchmarks.curate_table import Judged, Photos, show
from benchmarks.faults import KINDS, OWN, Planted, plant
from benchmarks.keep import Number, keep
from bolid.data.curate.config import Filters
from bolid.data.curate.filters import KEPT, Watermark
from bolid.data.curate.run import curate_photos
from bolid.data.curate.verdicts import read_verdicts

EACH = 40
FEW = 2  # real photos of a person of whom none is held out
LEAST = 250  # pixels of the shorter side of real photos, of which many are small
ROUNDS = 6  # of the real photos, each with one fault of a kind a person and other photos held out
# Of the embedded recogniser, which knows rendered faces: by `benchmarks/curate_alike.py` on 20 other people's photos.
RENDERED: dict[str, Any] = {"alike": 0.54, "pixels": 150, "turned": 0.8}
Networks = Literal["photographs", "watermark", "none"]


def main(
    photos: Path = Path("data/curate_benchmark"),
    networks: Networks = "photographs",
    real: Path | None = None,
    rendered: bool = True,
    keep: bool = False,
) -> None:
    """Runs everything and prints it.

    Args:
        photos: Where the rendered photos are, or go, and what is planted into them.
        networks: Whether networks look for people and faces, and the bundle's for watermarks, which is off by default.
        real: Also a folder of real people's folders.
        rendered: Whether rendered people are looked at.
        keep: Whether results are written.
    """
    results: dict[str, Number] = {}
    if rendered:
        results |= of_rendered(photos, networks)
    if real is not None:
        results |= of_real(real, photos / "planted_real", chain(networks, LEAST))
    if keep:
        write(results)


def write(results: dict[str, Number]) -> None:
    """Keeps the numbers."""
    keep(results, " ".join(["python -m benchmarks.curate", *sys.argv[1:]]))


def chain(networks: Networks, shortest: int = 1000) -> Filters:
    """The default filters, without networks or with the watermark network, too."""
    filters = Filters()
    assert filters.size is not None
    filters.size.shortest = shortest
    if networks == "none":
        filters.people = filters.identity = filters.body = None
    elif networks == "watermark":
        filters.watermark = Watermark()
    return filters


def kinds_of(filters: Filters) -> list[str]:
    """Kinds of faults that some filter looks for."""
    asked = {f.name for f in filters}
    return [kind for kind in KINDS if OWN[kind] in asked]


def of_rendered(photos: Path, networks: Networks) -> dict[str, Number]:
    """Faults and speed on rendered photos."""
    shown = render(photos)
    home, filters = photos / "planted", chain(networks)
    if filters.people and filters.identity:
        filters.people.recogniser, filters.identity = "embedded", replace(filters.identity, **RENDERED)
    kinds, judged, results = kinds_of(filters), {}, {}
    for kind in ["all", *kinds]:
        folder = fresh(home / kind)
        judged |= judge(folder, plant(kind, shown.good, shown.spare, folder, EACH, clear=shown.clear), filters, 2)
    if networks == "none":
        results |= speed(home)
    else:
        unreadable(fresh(home / "unreadable"), shown, filters)
    found = show(judged, f"{EACH} faults of each kind among {sum(map(len, shown.good.values()))} rendered photos")
    if networks != "none":
        about = f"{EACH} of each of {len(kinds)} kinds among {found.good} rendered photos, in all; least {found.least}"
        results["faults_caught"] = found.share, about
        results["good_lost"] = len(found.lost) / found.good, f"{found.good} good rendered photos"
    return results


def unreadable(folder: Path, photos: Rendered, filters: Filters) -> None:
    """Prints what becomes of wrong persons whose face is not shown, is turned away, or is small."""
    judged = judge(folder, plant("wrong person", photos.good, photos.hidden, folder, EACH), filters, 2)
    wrong = [p for p in judged.values() if p.kind == "wrong person"]
    told = sum(p.verdicts.get("identity", "").startswith(f"{KEPT}:") for p in wrong)
    print(f"\n{len(wrong)} wrong persons whose face cannot be read, not counted below: of {told} the filter says that")
    print(f"it has nothing to compare; {sum(bool(p.rejected) for p in wrong)} are rejected")


def of_real(real: Path, home: Path, filters: Filters) -> dict[str, Number]:
    """Faults in real photos: each round holds other photos out, into which faults are planted."""
    people = {p.name: sorted(q for q in p.iterdir() if q.is_file()) for p in sorted(real.iterdir()) if p.is_dir()}
    judged = judge(fresh(home / "all"), plant("all", people, {}, home / "all", 0), filters)
    for number in range(ROUNDS):
        spare = {p: [files[number % len(files)]] for p, files in people.items() if len(files) > FEW}
        good = {p: [f for f in files if f not in spare.get(p, ())] for p, files in people.items()}
        for kind in kinds_of(filters):
            folder = fresh(home / f"{kind} {number}")
            judged |= judge(folder, plant(kind, good, spare, folder, len(spare), LEAST, number), filters)
    found = show(judged, f"{ROUNDS} rounds among real photos of {len(people)} people; {LEAST} pixels and more")
    faults = sum(len(hits) for hits in found.caught.values())
    about = f"{faults} faults of {len(found.caught)} kinds among {found.good} real photos, in all; least {found.least}"
    return {
        "faults_caught_real": (found.share, about),
        "good_lost_real": (len(found.lost) / found.good, f"{found.good} good real photos, {LEAST} pixels and more"),
    }


def judge(folder: Path, planted: dict[str, Planted], filters: Filters, workers: int = 1) -> Photos:
    """Curates a set, and returns its photos."""
    curate_photos(folder, filters, min_photos=1, workers=workers, out=folder.parent)
    said = read_verdicts(folder.parent)
    return {
        f"{folder.name}: {name}": Judged(what.kind, what.of and f"{folder.name}: {what.of}", *said[name])
        for name, what in planted.items()
    }


def fresh(folder: Path) -> Path:
    """The folder, without what lay in it."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def speed(home: Path) -> dict[str, Number]:
    """Photos a second without networks, two processes, from nothing."""
    with tempfile.TemporaryDirectory() as out:
        folder = Path(out) / "photos"
        for path in sorted(home.glob("*/*/*.jpg")):
            (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
            if not (folder / path.parent.name / path.name).exists():
                shutil.copy(path, folder / path.parent.name)
        start, used = time.perf_counter(), computed()
        count = curate_photos(folder, chain("none"), workers=2).photos
        wall, spent = time.perf_counter() - start, computed() - used
    print(f"\nwithout networks: {count} photos in {wall:.1f} s, {1000 * spent / count:.1f} ms of a core each")
    print(f"{count / wall:.1f} a second by the clock, {2 * count / spent:.0f} on two idle cores")
    about = f"{count} photos of 1024 px without networks; processor time, two cores"
    return {"curate_photos_per_s": (2 * count / spent, about)}


def computed() -> float:
    """Seconds of processor time of this process and its finished children."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main)
