"""What must hold of every data set of people; each one's test calls these."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from bolid.core.keypoints import FLIP
from bolid.core.schema import ImageRecord, TrainingBatch
from bolid.data.dataset import LeaveOneOutDataset
from bolid.data.sampler import Draw


def check_splits_disjoint(splits: Mapping[str, Sequence[ImageRecord]]) -> None:
    """No identity, no photo and no bytes are in two splits."""
    for what in ("identity", "file_name", "sha256"):
        seen = [{getattr(r, what) for r in records} - {""} for records in splits.values()]
        for a in range(len(seen)):
            for b in range(a):
                assert not seen[a] & seen[b], f"{what} in two splits: {sorted(seen[a] & seen[b])[:3]}"


def check_leave_one_out(dataset: LeaveOneOutDataset, draws: int = 50) -> None:
    """The target is never among its references, which are different photos of the same person."""
    who = {r.file_name: r.identity for r in dataset.records}
    for index in range(draws if dataset.training else min(draws, len(dataset))):
        sample = dataset[Draw(3 if dataset.training else 0, index)]
        names = sample.references.names[0]
        assert sample.file_names[0] not in names
        assert len(set(names)) == len(names) == int(sample.references.mask.sum())
        assert {who[n] for n in names} <= {sample.identities[0]} == {who[sample.file_names[0]]}
        assert not sample.references.pictures[~sample.references.mask].any()
        assert not sample.references.keypoints[~sample.references.mask].any()
        assert not (sample.references.face_mask & ~sample.references.mask).any()
        assert not sample.references.faces[~sample.references.face_mask].any()
        lengths = sample.references.faces[sample.references.face_mask].norm(dim=-1)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))


def check_ranges(sample: TrainingBatch) -> None:
    """Shapes, dtypes and ranges are those that `TrainingBatch` promises."""
    count, _, height, width = sample.pictures.shape
    most, (h, w) = sample.references.mask.shape[1], sample.references.pictures.shape[-2:]
    assert sample.keypoints.shape == sample.keypoints_canonical.shape == (count, 17, 3)
    assert sample.silhouettes.shape == (count, 1, height, width)
    assert sample.references.pictures.shape == (count, most, 3, h, w)
    assert sample.references.keypoints.shape == (count, most, 17, 3)
    assert sample.references.faces.shape == (count, most, 512)
    for values, low, high in (
        (sample.pictures, -1, 1),
        (sample.references.pictures, -1, 1),
        (sample.silhouettes, 0, 1),
        (sample.keypoints, 0, max(height, width, 1)),
        (sample.references.keypoints, 0, max(h, w, 1)),
    ):
        assert values.dtype == torch.float32
        if values.numel():
            assert low <= values.min()
            assert values.max() <= high
    for points in (sample.keypoints, sample.keypoints_canonical, sample.references.keypoints.flatten(0, 1)):
        assert not points[points[..., 2] == 0].any()


def check_flips(make: Callable[[float], LeaveOneOutDataset], draws: int = 10) -> None:
    """Mirrored samples are the mirror image of the others, with left and right points exchanged.

    Args:
        make: Makes the same training data set with a given probability of flipping.
        draws: How many samples to compare.
    """
    plain, mirrored = make(0.0), make(1.0)
    for index in range(draws):
        a, b = plain[Draw(0, index)], mirrored[Draw(0, index)]
        assert (a.file_names, a.references.names) == (b.file_names, b.references.names)
        _check_mirror(a.pictures, b.pictures, a.keypoints, b.keypoints)
        _check_mirror(a.silhouettes, b.silhouettes, a.keypoints_canonical, b.keypoints_canonical)
        there = a.references.mask
        _check_mirror(
            a.references.pictures[there], b.references.pictures[there],
            a.references.keypoints[there], b.references.keypoints[there],
        )  # fmt: skip


def _check_mirror(a: torch.Tensor, b: torch.Tensor, points_a: torch.Tensor, points_b: torch.Tensor) -> None:
    torch.testing.assert_close(b, a.flip(-1))
    expected = points_a[:, list(FLIP)].clone()
    seen = expected[..., 2] > 0
    expected[..., 0] = torch.where(seen, a.shape[-1] - expected[..., 0], 0)
    torch.testing.assert_close(points_b, expected)
