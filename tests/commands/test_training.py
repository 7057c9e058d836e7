"""What is checked before anything is loaded."""

import pytest
import torch

from bolid.commands.training import check_checkpoint, check_weights
from bolid.core.errors import BolidError


def test_a_checkpoint_is_a_file_of_a_fit(tmp_path):
    (tmp_path / "bytes.ckpt").write_bytes(b"not a checkpoint")
    torch.save([torch.ones(1)], tmp_path / "list.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "weights.ckpt")
    torch.save({"state_dict": {}, "pytorch-lightning_version": "2.6.0"}, tmp_path / "fit.ckpt")
    for name, told in {"bytes": "is no checkpoint", "list": "is no checkpoint", "weights": "holds weights"}.items():
        with pytest.raises(BolidError, match=rf"ckpt_path: .*{name}\.ckpt {told}"):
            check_checkpoint(str(tmp_path / f"{name}.ckpt"))
    for path in ("gone.ckpt", "https://example.org/x.ckpt", tmp_path):
        with pytest.raises(BolidError, match="ckpt_path: no checkpoint at"):
            check_checkpoint(str(path))
    for path in (tmp_path / "fit.ckpt", "best", "last", None):
        check_checkpoint(path and str(path))


def test_every_verb_but_fit_needs_weights():
    check_weights("fit", None, {})
    for verb in ("validate", "test", "predict"):
        check_weights(verb, "x.ckpt", {"init_from": None})
        check_weights(verb, None, {"init_from": "x.ckpt"})
        with pytest.raises(BolidError, match=rf"^{verb}: .*--ckpt_path runs/\.\.\./checkpoints/last\.ckpt"):
            check_weights(verb, None, {"init_from": None, "conditions": {"face": object(), "body": None}})


def test_only_a_test_does_with_what_was_exported_or_a_base_model():
    for task in ({"exported": "data/tiny/pose"}, {"conditions": {}}, {"conditions": {"face": None}}):
        check_weights("test", None, task)
        with pytest.raises(BolidError, match="which weights"):
            check_weights("validate", None, task)
    with pytest.raises(BolidError, match="or `exported`"):
        check_weights("test", None, {"exported": None})
