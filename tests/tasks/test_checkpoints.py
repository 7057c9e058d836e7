"""Checkpoints are whole, are what a fit wrote, and are tensors and numbers only."""

import errno
import os
import pickle
import tempfile

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from bolid.core.errors import BolidError
from bolid.tasks.checkpoints import FORMAT, AtomicCheckpoints, find_checkpoint, read_checkpoint
from tests.callbacks.callback_fakes import Line, loader, trainer


@pytest.fixture
def written(tmp_path):
    """The checkpoints of a fit of 8 steps, one every 3 and the last one."""
    keep = ModelCheckpoint(
        tmp_path / "kept", every_n_train_steps=3, save_top_k=2, monitor="step", mode="max", save_last=True
    )
    run = trainer(tmp_path, keep, enable_checkpointing=True, plugins=[AtomicCheckpoints()])
    run.fit(Line(), loader())
    for number, path in enumerate(sorted((tmp_path / "kept").iterdir())):  # the last one last
        os.utime(path, (number, number))
    return sorted((tmp_path / "kept").iterdir())


class Hostile:
    def __reduce__(self):
        return os.system, ("touch /tmp/bolid-was-here",)


def test_nothing_is_written_into_the_temporary_folder(written, monkeypatch, tmp_path):
    assert [path.name for path in written] == ["epoch=0-step=3.ckpt", "epoch=1-step=6.ckpt", "last.ckpt"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no/such/folder"))
    AtomicCheckpoints().save_checkpoint({"state_dict": {}}, tmp_path / "new/x.ckpt")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.ckpt"]


def test_a_failed_write_leaves_the_checkpoint_before(written, monkeypatch):
    def full(found, file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    before = written[-1].read_bytes()
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(BolidError, match=r"last\.ckpt: the checkpoint cannot be written \(.*No space left on device\)"):
        AtomicCheckpoints().save_checkpoint({}, written[-1])
    assert written[-1].read_bytes() == before
    assert sorted(written[-1].parent.iterdir()) == written


def overwritten(data):
    """A checkpoint in which a weight's bytes are others."""
    at = data.index(b"/data/0") + 200
    return data[:at] + bytes(255 - byte for byte in data[at : at + 4]) + data[at + 4 :]


@pytest.mark.parametrize(
    "damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b[:-10], lambda b: b"x" * 99, overwritten]
)
def test_a_damaged_last_checkpoint_gives_way_to_the_good_one_beside_it(written, damage, tmp_path):
    last = written[-1]
    last.write_bytes(damage(last.read_bytes()))
    (last.parent / "last-v1.ckpt").write_bytes(pickle.dumps(Hostile()))  # the newest
    with pytest.warns(UserWarning, match=r"ckpt_path: .*last\.ckpt is .*; .*epoch=1-step=6\.ckpt beside it is whole"):
        assert find_checkpoint(last, "ckpt_path") == written[1]
    keep = ModelCheckpoint(last.parent)
    run = trainer(tmp_path, keep, enable_checkpointing=True, plugins=[AtomicCheckpoints()], max_epochs=-1, max_steps=6)
    with pytest.warns(UserWarning, match="beside it is whole"):
        run.fit(Line(), loader(), ckpt_path="last")
    assert run.global_step == 6
    written[1].write_bytes(b"")
    with pytest.raises(BolidError, match=r"epoch=1-step=6\.ckpt is empty; .*epoch=0-step=3\.ckpt beside it is whole"):
        find_checkpoint(written[1], "ckpt_path")  # one that was asked for by its name
    written[0].unlink()
    with pytest.raises(BolidError, match=r"ckpt_path: .*last\.ckpt is"):
        find_checkpoint(last, "ckpt_path")


def test_a_checkpoint_is_a_file_of_a_fit(tmp_path):
    (tmp_path / "bytes.ckpt").write_bytes(b"not a checkpoint")
    torch.save([torch.ones(1)], tmp_path / "list.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "weights.ckpt")
    torch.save({"state_dict": 3}, tmp_path / "number.ckpt")
    for name, why in {"bytes": "is no", "list": "is no", "number": "is no", "weights": "holds weights"}.items():
        folder = tmp_path / name
        folder.mkdir()
        path = (tmp_path / f"{name}.ckpt").rename(folder / "x.ckpt")
        with pytest.raises(BolidError, match=rf"ckpt_path: .*{name}/x\.ckpt {why}"):
            find_checkpoint(path, "ckpt_path")
    for path in (tmp_path / "gone.ckpt", tmp_path):
        with pytest.raises(BolidError, match="ckpt_path: no checkpoint at"):
            find_checkpoint(path, "ckpt_path")


def test_nothing_is_unpickled(tmp_path):
    torch.save({"state_dict": {}, "evil": Hostile()}, tmp_path / "x.ckpt")
    with pytest.raises(BolidError, match=r"x\.ckpt is no checkpoint"):
        AtomicCheckpoints().load_checkpoint(tmp_path / "x.ckpt", weights_only=False)
    assert not os.path.exists("/tmp/bolid-was-here")


def test_settings_of_a_checkpoint_are_not_read(written):
    found = torch.load(written[-1], weights_only=True)
    torch.save(found | {"hyper_parameters": {"lr": 9.0, "_instantiator": "os.system"}}, written[-1])
    assert "hyper_parameters" not in read_checkpoint(written[-1], "init_from")
    assert "hyper_parameters" not in AtomicCheckpoints().load_checkpoint(written[-1])


def test_a_newer_format_is_refused_by_name_and_one_from_before_there_was_any_is_read(written):
    found = torch.load(written[-1], weights_only=True)
    torch.save(found | {FORMAT: 3}, written[-1])
    with pytest.raises(BolidError, match=r"init_from: .*last\.ckpt has format 3, and this BoLID reads 1 to 2: update"):
        read_checkpoint(written[-1], "init_from")
    torch.save(found, written[-1])
    assert read_checkpoint(written[-1], "init_from")["global_step"] == 6
