"""Measures photos on the machines of a Ray cluster, by Ray Data; batches of dead workers are repeated."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bolid.core.errors import BolidError

if TYPE_CHECKING:
    from bolid.data.curate.measure import Measure
    from bolid.data.curate.photos import Photos

LOCAL = "local"  # address of a cluster on this machine
ROW, PATH = "row", "path"
TRIES = 3  # maximum number of repetitions of a batch whose worker died
_STORE = 256 * 1024 * 1024  # bytes of Ray's memory for objects on this machine; paths and values are small


class Reader:
    """A worker's measure, constructed once.

    Args:
        measure: Measure to compute.
    """

    def __init__(self, measure: Measure) -> None:
        from bolid.data.curate.work import prepare

        prepare(measure)
        self.measure, self.schema = measure, pa.schema(measure.columns.items())

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Paths to values, each with its row's number."""
        values = self.measure.read_all([Path(path) for path in batch[PATH].to_pylist()])
        return pa.Table.from_pylist(values, self.schema).append_column(ROW, batch[ROW])


def measured_by_ray(
    photos: Photos, measure: Measure, batches: Iterable[list[int]], workers: int, address: str
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Each batch of rows with its values, as they are ready, as `bolid.data.curate.work.measured`.

    Args:
        photos: All photos, in a folder that every machine reaches by the same path.
        measure: Measure to compute.
        batches: Rows that are read together.
        workers: Number of workers.
        address: Address of the cluster, auto, or local.

    Raises:
        BolidError: If Ray is missing or the cluster cannot be reached, or a batch ends every worker that reads it.
    """
    ray = connect(address, workers)
    blocks = [pa.table({ROW: rows, PATH: [str(photos.path(k).absolute()) for k in rows]}) for rows in batches]
    if not blocks:
        return
    found = ray.data.from_arrow(blocks).map_batches(
        Reader,
        fn_constructor_args=(measure,),
        batch_size=measure.batch,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks))),
        max_restarts=-1,
        max_task_retries=TRIES,
    )
    try:
        for table in found.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield table[ROW].to_pylist(), table.drop_columns([ROW]).to_pylist()
    except ray.exceptions.RayError as error:
        why = str(error).strip().splitlines()[-1]
        raise BolidError(
            f"{measure.name}: Ray gave up ({why}); what was measured is kept. Without --ray, a photo that ends the "
            "process that reads it is found and left out"
        ) from error


def connect(address: str, workers: int) -> Any:
    """Ray, connected to a cluster or started on this machine; the connection stays until the process ends."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics are sent
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BolidError("curating on many machines needs Ray: pip install 'bolid[ray]'") from error
    if not ray.is_initialized():
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address == LOCAL:
            options |= {"num_cpus": workers, "object_store_memory": _STORE, "include_dashboard": False}
        try:
            ray.init(address, **options)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BolidError(f"--ray {address}: no Ray cluster can be reached there ({error})") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False  # there is our own
    return ray
