"""Runs the networks on photos in one or several processes; a failing photo does not affect others."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from PIL import Image

from bolid.core.errors import BolidError
from bolid.core.safe_io import PictureError, atomic_path, open_picture
from bolid.data.annotate.networks import Networks
from bolid.data.annotate.store import MASKS, Finding
from bolid.vision.people import LeftOut, Person, Whom, choose, everybody

log = logging.getLogger(__name__)
UNREADABLE, FAILED = "unreadable", "failed"  # kinds that the next run tries again, since the cause may be transient
_SHOWN = 0.002  # minimum share of a photo's pixels in a silhouette

Load = Callable[[str], Networks]


@dataclass(frozen=True)
class Task:
    """A photo to annotate.

    Attributes:
        path: Its file.
        sha: SHA-256 of the file, the name of its silhouette.
        face: (F,) the face embedding to select the person by, if any.
    """

    path: Path
    sha: str
    face: np.ndarray | None = None


@dataclass(frozen=True)
class Rules:
    """Settings of the annotation.

    Attributes:
        out: Folder that gets the silhouettes.
        person: Selection in photos of several people: a word, or the folder of face photos, see `Run.look`.
        rejected: Whether photos that curation rejected are annotated too.
        curation: Folder of `.curation`, if not in `out`.
    """

    out: Path
    person: str = "only"
    rejected: bool = False
    curation: Path | None = None


def find(tasks: Sequence[Task], networks: Networks, rules: Rules) -> list[Finding]:
    """The networks' findings of photos; a failure is the finding of its photo."""
    pictures: list[Image.Image | Finding] = [_opened(task) for task in tasks]
    readable = [k for k, picture in enumerate(pictures) if isinstance(picture, Image.Image)]
    people = _people([pictures[k] for k in readable], networks)  # type: ignore[misc]
    found = [picture if isinstance(picture, Finding) else Finding("") for picture in pictures]
    for k, everyone in zip(readable, people, strict=True):
        picture = pictures[k]
        assert isinstance(picture, Image.Image)
        found[k] = (
            everyone if isinstance(everyone, Finding) else _described(tasks[k], picture, everyone, networks, rules)
        )
    return found


def _opened(task: Task) -> Image.Image | Finding:
    try:
        return open_picture(task.path)
    except PictureError as error:
        return Finding(UNREADABLE, str(error))
    except Exception as error:  # decoders raise many kinds of errors, for this photo only
        return _failure(error)


def _people(pictures: Sequence[Image.Image], networks: Networks) -> list[list[Person] | Finding]:
    try:
        return list(everybody(pictures, networks.estimator)) if pictures else []
    except Exception as error:
        if len(pictures) == 1:
            return [_failure(error)]
        return [one for picture in pictures for one in _people([picture], networks)]


def _described(task: Task, picture: Image.Image, people: Sequence[Person], networks: Networks, rules: Rules) -> Finding:
    try:
        whom: Whom = rules.person if task.face is None else task.face  # type: ignore[assignment]
        person = choose(people, picture, whom, networks.embedder)
        face = None if networks.embedder is None else networks.embedder.embed(np.asarray(picture), person.keypoints)
        if face is not None and not np.isfinite(face).all():
            face = None
        mask = None if networks.outliner is None else _outlined(task, picture, person, networks, rules.out)
        return Finding("", "", person.keypoints.astype(np.float32), person.box.astype(np.float32), face, mask)
    except LeftOut as reason:
        hint = "; or choose by --person" if reason.kind == "several people" else ""
        return Finding(reason.kind, f"{task.path}: {reason}{hint}")
    except OSError:
        raise  # the disk is full or gone: that is no photo's fault
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> Finding:
    log.debug("a photo could not be looked at", exc_info=error)
    return Finding(FAILED, f"{type(error).__name__}: {error}"[:500])


def _outlined(task: Task, picture: Image.Image, person: Person, networks: Networks, out: Path) -> str | None:
    """Writes the photo's silhouette and returns its path in the folder; None if it shows no person."""
    outline = networks.outline(picture, person.keypoints)
    if (outline > 127).mean() < _SHOWN:
        return None
    path = f"{MASKS}/{task.sha[:2]}/{task.sha[:40]}-{networks.fingerprint[:8]}.png"
    with atomic_path(out / path) as part:
        Image.fromarray(outline).save(part)
    return path


def find_all(
    batches: Iterable[Sequence[Task]], load: Load, rules: Rules, devices: Sequence[str] = ("cpu",)
) -> Iterator[tuple[Sequence[Task], list[Finding]]]:
    """Findings of batches, as they become ready.

    Args:
        batches: Batches of photos.
        load: Makes the networks for a device; can be pickled if there are several processes.
        rules: Settings of the annotation.
        devices: One per process; a single one uses this process.
    """
    if len(devices) > 1:
        yield from _by_processes(batches, load, rules, devices)
        return
    networks = load(devices[0])
    for batch in batches:
        yield batch, find(batch, networks, rules)


def _by_processes(
    batches: Iterable[Sequence[Task]], load: Load, rules: Rules, devices: Sequence[str]
) -> Iterator[tuple[Sequence[Task], list[Finding]]]:
    running: deque[tuple[Sequence[Task], Future[list[Finding]]]] = deque()
    pool = _pool(load, devices)
    try:
        for batch in batches:
            running.append((batch, _submit(pool, batch, rules)))
            if len(running) >= 2 * len(devices):  # what is under way is bounded, however many photos there are
                pool = yield from _results(running, 1, pool, load, rules, devices)
        yield from _results(running, len(running), pool, load, rules, devices)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _results(running, count, pool, load, rules, devices):
    """Yields the first results; of a pool that a photo broke, the photos under way are looked at one by one."""
    for _ in range(count):
        if not running:
            break
        batch, future = running.popleft()
        try:
            yield batch, future.result()
        except BrokenProcessPool:
            lost = [batch, *(other for other, _ in running)]
            running.clear()
            pool.shutdown(wait=False, cancel_futures=True)
            yield from _one_by_one(lost, load, rules, devices[0])
            pool = _pool(load, devices)
    return pool


def _submit(pool: ProcessPoolExecutor, batch: Sequence[Task], rules: Rules) -> Future[list[Finding]]:
    try:
        return pool.submit(_find, batch, rules)
    except BrokenProcessPool as error:
        future: Future[list[Finding]] = Future()
        future.set_exception(error)
        return future


def _one_by_one(
    batches: Sequence[Sequence[Task]], load: Load, rules: Rules, device: str
) -> Iterator[tuple[Sequence[Task], list[Finding]]]:
    pool = _pool(load, [device])
    try:
        for batch in batches:
            findings = []
            for task in batch:
                try:
                    findings += pool.submit(_find, [task], rules).result()
                except BrokenProcessPool:
                    why = f"{task.path}: ended the process that read it (out of memory, or a broken decoder)"
                    findings.append(Finding(FAILED, why))
                    pool.shutdown(wait=False, cancel_futures=True)
                    pool = _pool(load, [device])
            yield batch, findings
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _pool(load: Load, devices: Sequence[str]) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")  # a forked torch may hang
    places = spawn.SimpleQueue()
    for device in devices:
        places.put(device)
    threads = max(1, (os.cpu_count() or 1) // len(devices))
    return ProcessPoolExecutor(len(devices), spawn, _start, (load, places, threads))


_here: dict[str, Networks] = {}


def _start(load: Load, places, threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    _here["networks"] = load(places.get())


def _end_with_parent() -> None:
    """Ends workers with their parent, else they would wait for ever if it is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _find(tasks: Sequence[Task], rules: Rules) -> list[Finding]:
    if "networks" not in _here:
        raise BolidError("a process has no networks")
    return find(tasks, _here["networks"], rules)
