"""Several ranks with unequal shares, one of them empty, give the single process's numbers."""

import os
import tempfile

import torch
from metric_fakes import Pixels, make_batch
from torch import distributed
from torch.multiprocessing import spawn

from bolid.metrics.fid import FID
from bolid.metrics.inception_score import InceptionScore
from bolid.metrics.kid import KID


def scores(shares: list[slice]) -> dict[str, float]:
    generator = torch.Generator().manual_seed(1)
    photos, pictures = torch.rand(2, 30, 3, 4, 4, generator=generator)
    found = {}
    for metric in (FID(Pixels()), KID(Pixels()), InceptionScore(Pixels())):
        for share in shares:
            metric.update(pictures[share], make_batch(photos[share] * 2 - 1))
        found |= {name: value.item() for name, value in metric.compute().items()}
    return found


def run_rank(rank: int, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name, shares in {
        "uneven": [[slice(0, 12)], [slice(12, 20), slice(20, 30)]],
        "empty": [[slice(0, 30)], []],
    }.items():
        torch.save(scores(shares[rank]), f"{folder}/{name}{rank}.pt")
    distributed.destroy_process_group()


def test_ranks_add_up():
    expected = scores([slice(0, 30)])
    with tempfile.TemporaryDirectory() as folder:
        spawn(run_rank, (folder,), nprocs=2)
        for name in ("uneven0", "uneven1", "empty0", "empty1"):
            found = torch.load(f"{folder}/{name}.pt", weights_only=True)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
