"""Measures photos in one or several processes; batches of dead processes are repeated."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bolid.data.curate.measure import Measure
from bolid.data.curate.photos import Photos
from bolid.data.curate.ray import measured_by_ray
from bolid.data.curate.store import ROWS, SHA

log = logging.getLogger(__name__)
Batch = list[int]
SAVE = 10.0  # seconds between writes
TRIES = 2  # maximum number of processes that a photo may end
_measure: Measure  # of a process


def measure_photos(photos: Photos, measure: Measure, rows: np.ndarray, workers: int = 1, ray: str | None = None) -> int:
    """Measures the given photos that are not known yet, and stores the values.

    Args:
        photos: All photos.
        measure: Measure to compute.
        rows: Rows to measure.
        workers: Number of processes.
        ray: Address of the Ray cluster in which they are; None: on this machine, without Ray.

    Returns:
        The number of newly measured photos.
    """
    from tqdm import tqdm

    photos.refresh(measure)
    todo = rows[~photos.measured(measure.name)[rows]]
    _, first = np.unique(photos.keys[todo], return_index=True)  # copies are measured once
    todo = todo[np.sort(first)]
    store, waiting, saved = photos.store(measure), [], time.monotonic()
    batches = (todo[k : k + measure.batch].tolist() for k in range(0, len(todo), measure.batch))
    if ray is None:
        done = measured(photos, measure, batches, workers)
    else:
        done = measured_by_ray(photos, measure, batches, workers, ray)
    with tqdm(
        total=len(todo), desc=f"{measure.name} of {photos.folder.name}", unit="photo", disable=len(todo) < 20
    ) as bar:
        for batch, values in done:
            waiting += [value | {SHA: photos.content(k)} for k, value in zip(batch, values, strict=True)]
            bar.update(len(batch))
            if time.monotonic() - saved > SAVE or len(waiting) >= ROWS:
                store.append(waiting)
                waiting, saved = [], time.monotonic()
    store.append(waiting)
    store.compact()
    photos.refresh(measure)
    return len(todo)


def measured(
    photos: Photos, measure: Measure, batches: Iterable[Batch], workers: int
) -> Iterator[tuple[Batch, list[dict[str, Any]]]]:
    """Yields each batch of rows with its values, as they are ready."""
    if workers <= 1:
        yield from ((batch, measure.read_all([photos.path(k) for k in batch])) for batch in batches)
        return
    queue, lost = iter(batches), [0]
    again: list[tuple[Batch, int]] = []
    while True:
        died = yield from _round(photos, measure, queue, again, workers)
        if not died and not again:
            return
        lost[0] += 1
        log.warning("a process that measured %s died; its photos are measured anew", measure.name)


def _round(
    photos: Photos, measure: Measure, queue: Iterator[Batch], again: list[tuple[Batch, int]], workers: int
) -> Generator[tuple[Batch, list[dict[str, Any]]], None, bool]:
    """Works in one pool until nothing is left, or a process died: then what was under way is in `again`, one by one."""
    context = multiprocessing.get_context("spawn")
    running: dict[Future, tuple[Batch, int]] = {}
    limit = 1 if again else 2 * workers  # after a death one at a time, so that it is known which photo it was
    with ProcessPoolExecutor(workers, context, _begin, (measure,)) as pool:
        while True:
            try:
                while len(running) < limit and (job := _next(queue, again)):
                    running[pool.submit(_work, [str(photos.path(k)) for k in job[0]])] = job
                if not running:
                    return False
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    values = future.result()
                    yield running.pop(future)[0], values
                limit = limit if again else 2 * workers
            except BrokenProcessPool:
                for batch, tries in running.values():
                    guilty = tries + (len(running) == 1 and len(batch) == 1)
                    if guilty >= TRIES:
                        yield batch, [{"error": "ends the process that reads it"} if "error" in measure.columns else {}]
                    else:
                        again += [([k], guilty) for k in batch]
                return True


def _next(queue: Iterator[Batch], again: list[tuple[Batch, int]]) -> tuple[Batch, int] | None:
    if again:
        return again.pop()
    batch = next(islice(queue, 1), None)
    return None if batch is None else (batch, 0)


def _begin(measure: Measure) -> None:
    global _measure
    prepare(measure)
    _measure = measure


def prepare(measure: Measure) -> None:
    """Prepares a process that measures: one thread, so that several do not fight for the cores."""
    import cv2

    cv2.setNumThreads(1)
    if type(measure).__module__ != "bolid.data.curate.pixels":
        import torch

        torch.set_num_threads(1)


def _work(paths: Sequence[str]) -> list[dict[str, Any]]:
    return _measure.read_all([Path(path) for path in paths])
