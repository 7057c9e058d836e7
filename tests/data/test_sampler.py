import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from bolid.core.schema import TrainingBatch
from bolid.data.datamodule import IdentityDataModule
from bolid.data.dataset import LeaveOneOutDataset
from bolid.data.sampler import EpochSampler, ResumableLoader
from bolid.data.specs import ReferenceSpec, SplitSpec
from tests.data.fabricate import fabricate


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 24, 25])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_ranks_share_an_epoch(length, ranks, batch_size):
    for training in (True, False):
        samplers = [EpochSampler(length, batch_size, training, ranks, rank) for rank in range(ranks)]
        dealt = [[draw.place for draw in s] for s in samplers]
        assert [len(d) for d in dealt] == [len(s) for s in samplers]
        together = sorted(index for d in dealt for index in d)
        assert together == sorted(set(together))  # nothing twice
        batches = {-(-len(d) // batch_size) for d in dealt}
        assert len(batches) == 1  # nobody waits for ever
        if training:
            assert all(len(d) % batch_size == 0 for d in dealt)
            assert length - len(together) < ranks * batch_size
        elif length >= ranks:
            assert length - len(together) < ranks
            if ranks == 1:
                assert together == list(range(length))


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_pairs_stay_on_a_rank_and_in_a_batch(ranks):
    samplers = [EpochSampler(27, 4, True, ranks, rank, together=2) for rank in range(ranks)]
    dealt = [[draw.place for draw in s] for s in samplers]
    assert all(odd == even + 1 and even % 2 == 0 for d in dealt for even, odd in zip(d[::2], d[1::2], strict=True))
    assert {len(d) for d in dealt} == {24 // ranks // 4 * 4}
    assert sorted(place for d in dealt for place in d) == list(range(24 // ranks // 4 * 4 * ranks))


def test_the_epoch_counts_in_training_only():
    training, evaluation = EpochSampler(4, 2, True), EpochSampler(4, 2, False)
    for sampler in (training, evaluation):
        sampler.set_epoch(3)
    assert [tuple(d) for d in training] == [(3, 0), (3, 1), (3, 2), (3, 3)]
    assert {d.epoch for d in evaluation} == {0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("people")
    fabricate(path, {"train": 5, "val": 2}, photos=3)
    return path


def loader(folder, workers: int, ranks: int = 1, rank: int = 0, epoch: int = 0) -> ResumableLoader:
    module = IdentityDataModule(folder, size=(24, 16))
    dataset = LeaveOneOutDataset(module.splits["train"], folder, (24, 16), ReferenceSpec((24, 16)))
    sampler = EpochSampler(24, 3, True, ranks, rank)
    sampler.set_epoch(epoch)
    return ResumableLoader(
        dataset, 3, sampler=sampler, drop_last=True, num_workers=workers, collate_fn=TrainingBatch.cat,
        persistent_workers=workers > 0,
    )  # fmt: skip


def digest(batch: TrainingBatch) -> tuple:
    names = [name for names in batch.references.names for name in names]
    return (*batch.file_names, *names, *batch.captions, float(batch.pictures.double().sum()))


def test_workers_make_the_same_batches(folder):
    one, two = loader(folder, 0), loader(folder, 2)
    for _ in range(2):
        assert [digest(b) for b in one] == [digest(b) for b in two]


def test_two_ranks_make_the_batches_of_one(folder):
    whole = [name for batch in loader(folder, 0) for name in batch.file_names]
    ranks = [[name for batch in loader(folder, 0, 2, rank) for name in batch.file_names] for rank in (0, 1)]
    assert [name for pair in zip(*ranks, strict=True) for name in pair] == whole


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_loader_goes_on_where_it_was(folder, workers, ranks):
    for rank in range(ranks):
        whole = [digest(b) for b in loader(folder, workers, ranks, rank, epoch=2)]
        stopped = loader(folder, workers, ranks, rank, epoch=2)
        batches = iter(stopped)
        for _ in range(2):
            next(batches)
        state = stopped.state_dict()
        assert state == {"epoch": 2, "samples": 6 * ranks}  # what workers read ahead does not count
        resumed = loader(folder, workers, ranks, rank, epoch=2)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert [digest(b) for b in resumed] == whole[2:]
        assert [digest(b) for b in resumed] == whole  # and the next time from the start
        later = loader(folder, workers, ranks, rank, epoch=3)
        later.load_state_dict(state)
        assert len(list(later)) == len(whole)


class Recorder(LightningModule):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple] = []
        self.validated: list[tuple] = []

    def training_step(self, batch):
        self.seen.append((self.current_epoch, digest(batch)))
        return (self.weight * batch.pictures.mean()).square()

    def validation_step(self, batch):
        self.validated.append(digest(batch))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, tmp_path, resume=None, workers=0, **arguments) -> Recorder:
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}")
    trainer = Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[saver], default_root_dir=tmp_path, num_sanity_val_steps=0, **arguments,
    )  # fmt: skip
    data = IdentityDataModule(
        folder, 3, (24, 16), ReferenceSpec((24, 16)), SplitSpec(samples_per_epoch=12), num_workers=workers
    )
    module = Recorder()
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_resumes_in_the_middle_of_an_epoch(folder, tmp_path, workers):
    whole = fit(folder, tmp_path / "a", workers=workers)
    assert len(whole.seen) == 12
    assert len(set(whole.seen)) == 12
    for step in (2, 4, 7):  # in an epoch, at the end of one, in a later one
        resumed = fit(folder, tmp_path / f"b{step}", tmp_path / "a" / f"step={step}.ckpt", workers)
        assert resumed.seen == whole.seen[step:]
        assert resumed.validated == whole.validated[len(whole.validated) - len(resumed.validated) :]
