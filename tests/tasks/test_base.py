"""What every task does: warm starts, checkpoints, schedules as long as the fit."""

from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR, OneCycleLR

from bolid.core.errors import BolidError
from tests.commands.quiet import quiet_trainer as trainer
from tests.tasks.adapters import batches, task


def trained(t):
    return {n: p.detach().clone() for n, p in t.named_parameters() if p.requires_grad}


def test_a_checkpoint_holds_exactly_what_was_trained(folders, tmp_path):
    t = task(folders)
    tr = trainer(tmp_path)
    tr.fit(t, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert saved["state_dict"].keys() == trained(t).keys()
    assert saved["bolid_format"] == 2


def test_a_warm_start_takes_the_weights_and_not_the_step(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    second = task(folders, init_from=tmp_path / "x.ckpt", optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    tr = trainer(tmp_path, max_steps=1)
    tr.fit(second, batches(1))
    assert tr.global_step == 1
    assert all(torch.equal(v, trained(first)[n]) for n, v in trained(second).items())


def test_a_command_without_a_fit_starts_from_the_same_weights_and_one_after_a_fit_keeps_those(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    expected = trained(first)
    for command in ("validate", "test", "predict"):
        second = task(folders, init_from=tmp_path / "x.ckpt")
        getattr(trainer(tmp_path), command)(second, batches(1))
        assert all(torch.equal(v, expected[n]) for n, v in trained(second).items()), command
    trainer(tmp_path).fit(second, batches(2))
    moved = trained(second)
    assert any(not torch.equal(v, expected[n]) for n, v in moved.items())
    trainer(tmp_path).validate(second, batches(1), verbose=False)
    assert all(torch.equal(v, moved[n]) for n, v in trained(second).items())


def test_where_a_checkpoint_is_loaded_the_warm_start_is_not_asked_for(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    for command in ("fit", "validate", "test", "predict"):
        second = task(folders, init_from=tmp_path / "moved.ckpt")
        getattr(trainer(tmp_path), command)(second, batches(1), ckpt_path=tmp_path / "x.ckpt", weights_only=True)
        assert all(torch.equal(v, trained(first)[n]) for n, v in trained(second).items()), command


def test_a_warm_start_from_something_else_is_refused(folders, tmp_path):
    torch.save({"state_dict": {"other": torch.ones(1)}}, tmp_path / "y.ckpt")
    with pytest.raises(BolidError, match="lacks"):
        trainer(tmp_path).fit(task(folders, init_from=tmp_path / "y.ckpt"), batches(1))
    (tmp_path / "garbage.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(BolidError, match="is no checkpoint"):
        trainer(tmp_path).fit(task(folders, init_from=tmp_path / "garbage.ckpt"), batches(1))
    with pytest.raises(BolidError, match="no checkpoint"):
        trainer(tmp_path).fit(task(folders, init_from=tmp_path / "z.ckpt"), batches(1))


def test_a_checkpoint_of_a_later_format_is_refused_and_one_of_the_first_read(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(1))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    saved = torch.load(tmp_path / "x.ckpt", weights_only=True)
    for form, name in ((3, "later"), (None, "first")):
        saved["bolid_format"] = form
        if form is None:
            del saved["bolid_format"]
        torch.save(saved, tmp_path / f"{name}.ckpt")
    with pytest.raises(BolidError, match=r"later\.ckpt has format 3, and this BoLID reads 1 to 2"):
        trainer(tmp_path).validate(task(folders, init_from=tmp_path / "later.ckpt"), batches(1), verbose=False)
    with pytest.raises(BolidError, match=r"ckpt_path: .*later\.ckpt has format 3"):
        trainer(tmp_path).validate(task(folders), batches(1), ckpt_path=tmp_path / "later.ckpt", weights_only=True)
    trainer(tmp_path).validate(task(folders, init_from=tmp_path / "first.ckpt"), batches(1), verbose=False)


def test_an_exported_adapter_starts_every_command(folders, tmp_path):
    first, tr = task(folders), trainer(tmp_path)
    tr.fit(first, batches(2))
    first.export(tmp_path / "adapter")
    for command in ("fit", "validate", "test", "predict"):
        second = task(folders, init_from=tmp_path / "adapter", optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
        getattr(trainer(tmp_path, max_steps=1), command)(second, batches(1))
        assert all(torch.equal(v, trained(first)[n]) for n, v in trained(second).items()), command


def test_an_exported_adapter_of_other_conditions_is_refused(folders, tmp_path):
    first = task(folders)
    first.export(tmp_path / "adapter")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BolidError, match=r"adapter\.json"):
        trainer(tmp_path).validate(task(folders, init_from=tmp_path / "empty"), batches(1), verbose=False)
    other = task(folders, "sdxl", init_from=tmp_path / "adapter")
    with pytest.raises(BolidError):
        trainer(tmp_path).validate(other, batches(1), verbose=False)


def one_cycle(**settings):
    return partial(OneCycleLR, max_lr=1.0, cycle_momentum=False, **settings)


def test_a_schedule_is_as_long_as_the_fit(folders, tmp_path):
    t = task(folders, scheduler=one_cycle())
    trainer(tmp_path, max_steps=3, max_epochs=-1).fit(t, batches(2))
    assert t.lr_schedulers().total_steps == 3
    t = task(folders, scheduler=one_cycle())
    trainer(tmp_path, max_steps=-1, max_epochs=2).fit(t, batches(3))
    assert t.lr_schedulers().total_steps == 6
    t = task(folders, scheduler=partial(LinearLR, total_iters=50))  # a warm-up
    trainer(tmp_path, max_steps=1).fit(t, batches(1))


def test_a_schedule_of_another_length_is_refused(folders, tmp_path):
    with pytest.raises(BolidError, match=r"total_steps=5, but the fit has 3 .* leave total_steps out"):
        trainer(tmp_path, max_steps=3).fit(task(folders, scheduler=one_cycle(total_steps=5)), batches(2))
    with pytest.raises(BolidError, match=r"set trainer\.max_steps"):
        trainer(tmp_path, max_steps=-1, max_epochs=-1).fit(task(folders, scheduler=one_cycle()), batches(1))


def test_a_fit_that_goes_on_for_longer_has_a_longer_schedule(folders, tmp_path):
    t, tr = task(folders, scheduler=one_cycle()), trainer(tmp_path, max_steps=3, max_epochs=-1)
    tr.fit(t, batches(1))
    tr.save_checkpoint(tmp_path / "x.ckpt")
    longer, tr = task(folders, scheduler=one_cycle()), trainer(tmp_path, max_steps=8, max_epochs=-1)
    tr.fit(longer, batches(1), ckpt_path=tmp_path / "x.ckpt", weights_only=True)
    assert tr.global_step == 8
    assert longer.lr_schedulers().total_steps == 8
