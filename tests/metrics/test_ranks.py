"""Several ranks with unequal shares, one of them empty, give the single process's numbers."""

import os
import tempfile
from types import SimpleNamespace

import torch
from torch import distributed
from torch.multiprocessing import spawn

from bolid.metrics.fid import FID
from bolid.metrics.inception_score import InceptionScore
from bolid.metrics.interval import interval
from bolid.metrics.kid import KID
from bolid.synthetic.metrics.body_shape import BodyShape
from tests.metrics.metric_fakes import Pixels, make_batch

READER = SimpleNamespace(read=lambda pictures: 4 * pictures[:, 0].flatten(1)[:, :7])
FINDER = SimpleNamespace(estimate=lambda pictures: SimpleNamespace(score=pictures[:, 0, 0, 0] - 0.2))


def shapes(shares: list[slice]) -> dict[str, float]:
    """Body shape of five people in thirty pictures, and the bounds of its error."""
    pictures = torch.rand(30, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    truth = torch.randn(5, 7, generator=torch.Generator().manual_seed(3))
    metric = BodyShape(READER, FINDER)
    for share in shares:
        batch = make_batch(pictures)[share]
        batch.whole_figure = torch.ones(len(batch), dtype=torch.bool)
        batch.identities = [f"p{number % 5}" for number in range(30)[share]]
        batch.references.proportions = truth[[number % 5 for number in range(30)[share]]]
        metric.update(pictures[share], batch)
    found = {name: value.item() for name, value in metric.compute().items()}
    return found | interval(metric.person_scores()["body_shape_error"])._asdict()


def scores(shares: list[slice]) -> dict[str, float]:
    generator = torch.Generator().manual_seed(1)
    photos, pictures = torch.rand(2, 30, 3, 4, 4, generator=generator)
    found = {}
    for metric in (FID(Pixels(), 10), KID(Pixels(), 10), InceptionScore(Pixels(), 10)):
        for share in shares:
            batch = make_batch(photos[share] * 2 - 1)
            batch.identities = [f"p{number % 5}" for number in range(30)[share]]
            metric.update(pictures[share], batch)
        found |= {name: value.item() for name, value in metric.compute().items()}
        found |= {f"{name}/high": around.high for name, around in metric.other_intervals().items()}
    return found | shapes(shares)


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
    with tempfile.TemporaryDirectory() as folder:
        expected = scores([slice(0, 30)])
        spawn(run_rank, (folder,), nprocs=2)
        for name in ("uneven0", "uneven1", "empty0", "empty1"):
            found = torch.load(f"{folder}/{name}.pt", weights_only=True)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
