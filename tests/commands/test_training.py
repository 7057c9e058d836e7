"""What is checked before anything is loaded."""

import pytest
import torch

from bolid.commands.training import check_schedule, check_weights
from bolid.core.errors import BolidError


@pytest.fixture
def weights(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt"


def test_every_verb_but_fit_needs_weights(weights, tmp_path):
    check_weights("fit", None, {})
    for verb in ("validate", "test", "predict"):
        check_weights(verb, "x.ckpt", {"init_from": None})
        check_weights(verb, None, {"init_from": weights})
        check_weights(verb, None, {"init_from": tmp_path})  # of an export
        with pytest.raises(BolidError, match=rf"^{verb}: .*--ckpt_path runs/\.\.\./checkpoints/last\.ckpt"):
            check_weights(verb, None, {"init_from": None, "conditions": {"face": object(), "body": None}})


def test_only_a_test_does_with_a_base_model():
    for task in ({"conditions": {}}, {"conditions": {"face": None}}):
        check_weights("test", None, task)
        with pytest.raises(BolidError, match="which weights"):
            check_weights("validate", None, task)


def test_a_warm_start_that_is_not_there_is_named_at_once(tmp_path):
    for verb in ("fit", "test"):
        with pytest.raises(BolidError, match=r"init_from: no checkpoint at .*nowhere"):
            check_weights(verb, None, {"init_from": tmp_path / "nowhere"})
        check_weights(verb, "x.ckpt", {"init_from": tmp_path / "nowhere"})  # which is then not asked for


def test_a_schedule_of_another_length_than_the_fit_is_named_at_once():
    task = {"scheduler": {"init_args": {"total_steps": 8000}}}
    check_schedule("fit", {"max_steps": 8000}, task)
    check_schedule("test", {"max_steps": 100}, task)
    check_schedule("fit", {"max_steps": 100, "fast_dev_run": True}, task)
    check_schedule("fit", {"max_steps": 100}, {"scheduler": {"init_args": {"total_steps": None}}})
    check_schedule("fit", {"max_steps": 100}, {"scheduler": None})
    with pytest.raises(BolidError, match="total_steps=8000, but the fit has 100"):
        check_schedule("fit", {"max_steps": 100}, task)
