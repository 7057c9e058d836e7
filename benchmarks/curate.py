"""What `bolid data curate` catches and loses: `python -m benchmarks.curate [--networks photographs] [--real FOLDER]`.

Faults are planted into rendered people's photos of 1024 pixels (rendered first, some minutes, unless they are there)
and, with `--real`, into a folder of real ones. Prints, per kind of fault, how many are caught at all and by their own
filter, and per filter precision and recall; the share of good photos lost; photos a second without networks; and
memory at 1,000 and 100,000 rows. Results go to `benchmarks/results/photos.json`.

Precision: of what a filter alone rejects, how much has some fault. Recall: of its own kinds of faults, how many it
rejects itself. Both ask every filter of every photo that can be decoded.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Literal

from benchmarks.faults import KINDS, OWN, plant
from benchmarks.keep import Number, keep
from bolid.core.paths import resolve
from bolid.data.curate.config import Filters
from bolid.data.curate.filters import KEPT
from bolid.data.curate.run import curate_photos
from bolid.data.curate.verdicts import read_verdicts

EACH = 60
SPARE = 2  # photos of a person into which faults are planted


def main(
    photos: Path = Path("data/curate_benchmark"),
    networks: Literal["photographs", "embedded", "none"] = "photographs",
    real: Path | None = None,
    rows: int = 100_000,
    write: bool = True,
) -> None:
    """Runs everything and prints it.

    Args:
        photos: Where the rendered photos are, or go.
        networks: Which networks look for people and faces.
        real: Also a folder of real people's folders.
        rows: Of the memory test; 0: none.
        write: Whether results are written.
    """
    found = rendered(photos, networks)
    with tempfile.TemporaryDirectory() as folder:
        planted = plant(*found, Path(folder), EACH)
        results = speed(Path(folder))
        results |= score(
            Path(folder), planted, chain(networks), f"{len(planted)} rendered photos, networks: {networks}"
        )
    if real is not None:
        with tempfile.TemporaryDirectory() as folder:
            least = 250
            planted = plant(*of_folder(real), Path(folder), 20, least)
            filters = chain(networks)
            assert filters.size is not None
            filters.size.shortest = least
            score(Path(folder), planted, filters, f"{len(planted)} real photos of {least} pixels and more")
    if rows:
        memory(rows)
    if write:
        keep(results, " ".join(["python -m benchmarks.curate", *sys.argv[1:]]))


def chain(networks: str) -> Filters:
    """The default filters, with other networks or without."""
    filters = Filters()
    if filters.watermark and not (resolve(filters.watermark.network) / "model.safetensors").is_file():
        print("there is no watermark network here; its filter is left out")
        filters.watermark = None
    if networks == "none":
        filters.people = filters.identity = filters.body = None
    elif networks == "embedded" and filters.people and filters.identity:
        filters.people.people, filters.people.faces, filters.people.recogniser = "embedded", None, "embedded"
    return filters


def rendered(folder: Path, networks: str) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Good and spare photos of rendered people whom nothing was trained on."""
    if not (folder / "test").is_dir():
        words = ["--people", "55", "--first", "900300", "--photos", "12", "--size", "[1024,1024]", "--split", "test"]
        subprocess.run([sys.executable, "-m", "bolid.cli", "data", "render", str(folder), *words], check=True)
    people: dict[str, list[Path]] = {}
    for path in sorted((folder / "test").glob("*.png")):
        people.setdefault(path.stem.partition("_")[0], []).append(path)
    return divided(people)


def of_folder(folder: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Photos of people's folders, all good; faults are planted into the same ones."""
    people = {p.name: sorted(q for q in p.iterdir() if q.is_file()) for p in sorted(folder.iterdir()) if p.is_dir()}
    return people, people


def divided(people: dict[str, list[Path]]) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Each person's last photos apart."""
    return {p: f[:-SPARE] for p, f in people.items()}, {p: f[-SPARE:] for p, f in people.items()}


def speed(folder: Path) -> dict[str, Number]:
    """Photos a second without networks, two processes."""
    filters = chain("none")
    filters.watermark = None
    start, used = time.perf_counter(), computed()
    count = curate_photos(folder, filters, workers=2).photos
    wall, spent = time.perf_counter() - start, computed() - used
    print(f"\nwithout networks: {count} photos in {wall:.1f} s, {1000 * spent / count:.1f} ms of a core each")
    print(f"{count / wall:.1f} a second by the clock, {2 * count / spent:.0f} on two idle cores")
    return {"curate_photos_per_s": (2 * count / spent, f"{count} photos of 1024 px; processor time of two cores")}


def computed() -> float:
    """Seconds of processor time of this process and its finished children."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def score(folder: Path, planted: dict[str, tuple[str, str]], filters: Filters, what: str) -> dict[str, Number]:
    """Counts what was caught and lost, and prints the tables."""
    summary = curate_photos(folder, filters, min_photos=1, every=True, workers=2)
    verdicts = read_verdicts(folder)
    print(f"\n{what}\n{summary}\n")
    asked = {f.name for f in filters}
    kinds = [kind for kind in KINDS if OWN[kind] in asked]
    caught = {kind: caught_of(kind, planted, verdicts) for kind in kinds}
    print("| planted | photos | caught | by its own filter |\n|---|---|---|---|")
    for kind, hits in caught.items():
        own = [OWN[kind] in said(verdicts[name][1]) for name, (k, _) in planted.items() if k == kind]
        print(f"| {kind} | {len(hits)} | {sum(hits) / len(hits):.3f} | {sum(own) / len(own):.3f} |")
    lost = losses(planted, verdicts)
    good = sum(kind == "good" for kind, _ in planted.values())
    print(f"\ngood photos lost: {len(lost)} of {good}: {dict(Counter(verdicts[name][0] for name in lost))}")
    for name in lost[:12]:
        print(f"  {name}: {verdicts[name][1][verdicts[name][0]]}")
    filter_table(asked, planted, verdicts, set(lost))
    least = min(sum(hits) / len(hits) for hits in caught.values())
    every = [hit for hits in caught.values() for hit in hits]
    print(f"\nleast of a kind {least:.3f}, all {sum(every) / len(every):.3f}")
    return {
        "faults_caught": (least, f"the least of {len(kinds)} kinds; {what}"),
        "good_lost": (len(lost) / good, f"{good} good photos of {what}"),
    }


def said(verdicts: dict[str, str]) -> set[str]:
    """Filters that reject a photo."""
    return {name for name, verdict in verdicts.items() if verdict != KEPT}


def caught_of(kind: str, planted: dict[str, tuple[str, str]], verdicts: dict) -> list[bool]:
    """Of each fault of a kind, whether it was rejected; of a copy, whether it or its original was."""
    pairs = [(name, of) for name, (k, of) in planted.items() if k == kind]
    return [bool(verdicts[name][0] or (of and verdicts[of][0])) for name, of in pairs]


def losses(planted: dict[str, tuple[str, str]], verdicts: dict) -> list[str]:
    """Good photos that are rejected, but for those of which a planted copy is kept instead."""
    kept = {of for name, (_, of) in planted.items() if of and not verdicts[name][0]}
    return [n for n, (kind, _) in planted.items() if kind == "good" and verdicts[n][0] and n not in kept]


def filter_table(asked: set[str], planted: dict, verdicts: dict, lost: set[str]) -> None:
    """Precision and recall of each filter."""
    print("\n| filter | rejects | precision | recall |\n|---|---|---|---|")
    for name in asked & set(OWN.values()):
        rejects = [n for n in planted if name in said(verdicts[n][1])]
        right = [n for n in rejects if planted[n][0] != "good" or n not in lost]
        own = [n for n, (kind, _) in planted.items() if OWN.get(kind) == name]
        hits = [n for n in own if n in rejects or planted[n][1] in rejects]
        precision = len(right) / len(rejects) if rejects else float("nan")
        print(f"| {name} | {len(rejects)} | {precision:.3f} | {len(hits) / len(own):.3f} |")


def memory(rows: int) -> None:
    """Peak memory with few and with many rows, each in a process of its own."""
    peaks = []
    for count in (1000, rows):
        words = [sys.executable, "-m", "benchmarks.curate_memory", str(count)]
        peaks.append(float(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
    print(f"\nmemory: {peaks[0]:.0f} MB at 1,000 rows, {peaks[1]:.0f} MB at {rows:,}")


if __name__ == "__main__":
    from jsonargparse import auto_cli

    auto_cli(main)
